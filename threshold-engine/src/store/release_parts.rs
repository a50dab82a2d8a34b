//! Points that wait for the last part of their release.

use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::points::{Columns, Row, Texts};
use crate::received::Waiting;
use evaluation::series::Point;

/// What waits of a series of a source.
pub(crate) async fn waiting_of_release(
    connection: &mut PgConnection,
    (source, series_id): (&str, &str),
) -> Result<Waiting, sqlx::Error> {
    let waiting = sqlx::query!(
        r#"select coalesce(max(part), 0) as "last_number!", count(*) as "points!"
           from release_parts where source = $1 and series_id = $2"#,
        source,
        series_id,
    )
    .fetch_one(connection)
    .await?;
    Ok(Waiting {
        last_number: waiting.last_number.unsigned_abs(),
        points: usize::try_from(waiting.points).unwrap_or(usize::MAX),
    })
}

/// Takes away the points of a series of a source that wait, in the order of their events.
pub(crate) async fn take_release_parts(
    connection: &mut PgConnection,
    (source, series_id): (&str, &str),
) -> Result<Vec<Point>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"delete from release_parts where source = $1 and series_id = $2
           returning 0::bigint as "sequence!", source, position, point_index, event_id, occurred_at,
                     series_id, date, known_from, value"#,
        source,
        series_id,
    )
    .fetch_all(connection)
    .await?;
    let mut texts = Texts::default();
    let points = rows.into_iter().map(|row| Ok(texts.point(row)?.1));
    let mut points = points.collect::<Result<Vec<_>, sqlx::Error>>()?;
    points.sort_by_key(|point| (point.cause.position, point.cause.index));
    Ok(points)
}

/// Lets the points of a part wait. One that waits already does so once.
pub(crate) async fn insert_release_part(
    connection: &mut PgConnection,
    part: u32,
    points: &[Point],
) -> Result<(), sqlx::Error> {
    let columns = Columns::of(points);
    sqlx::query!(
        "insert into release_parts (source, series_id, position, point_index, event_id, occurred_at,
                                    date, known_from, value, part)
         select *, $10::int from unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::text[],
                              $6::timestamptz[], $7::date[], $8::timestamptz[], $9::numeric[])
         on conflict do nothing",
        &columns.sources as &[&str],
        &columns.series_ids as &[&str],
        &columns.positions,
        &columns.indices,
        &columns.event_ids,
        &columns.occurred_at,
        &columns.dates,
        &columns.known_from,
        &columns.values as &[Option<Decimal>],
        i32::try_from(part).unwrap_or(i32::MAX),
    )
    .execute(connection)
    .await?;
    Ok(())
}
