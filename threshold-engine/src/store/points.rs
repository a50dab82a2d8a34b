use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use chrono::{DateTime, NaiveDate, Utc};
use futures::{Stream, StreamExt};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use ulid::Ulid;

use super::Head;
use evaluation::series::{Cause, Point};

pub(super) struct Row {
    pub(super) sequence: i64,
    pub(super) source: String,
    pub(super) position: i64,
    pub(super) point_index: i32,
    pub(super) event_id: String,
    pub(super) occurred_at: DateTime<Utc>,
    pub(super) series_id: String,
    pub(super) date: NaiveDate,
    pub(super) known_from: DateTime<Utc>,
    pub(super) value: Option<Decimal>,
}

/// Points as arrays, one for each column.
pub(super) struct Columns<'a> {
    pub(super) sources: Vec<&'a str>,
    pub(super) series_ids: Vec<&'a str>,
    pub(super) positions: Vec<i64>,
    pub(super) indices: Vec<i32>,
    pub(super) event_ids: Vec<String>,
    pub(super) occurred_at: Vec<DateTime<Utc>>,
    pub(super) dates: Vec<NaiveDate>,
    pub(super) known_from: Vec<DateTime<Utc>>,
    pub(super) values: Vec<Option<Decimal>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(points: &'a [Point]) -> Self {
        let points = points.iter();
        let causes = points.clone().map(|point| &point.cause);
        Self {
            sources: causes.clone().map(|cause| &*cause.source).collect(),
            series_ids: points.clone().map(|point| &*point.series).collect(),
            positions: causes
                .clone()
                .map(|cause| cause.position.cast_signed())
                .collect(),
            indices: causes
                .clone()
                .map(|cause| cause.index.cast_signed())
                .collect(),
            event_ids: causes
                .clone()
                .map(|cause| cause.event_id.to_string())
                .collect(),
            occurred_at: causes.map(|cause| cause.occurred_at).collect(),
            dates: points.clone().map(|point| point.date).collect(),
            known_from: points.clone().map(|point| point.known_from).collect(),
            values: points.map(|point| point.value).collect(),
        }
    }
}

/// Stores points with the numbers that follow on a head, and moves it in the name of this
/// transaction. Returns where it is then; `None`, and nothing is stored, if the head is another. It
/// waits for another transaction that holds the head; from here on others wait for this one.
///
/// One statement, as each costs a round trip.
pub(crate) async fn append_points(
    connection: &mut PgConnection,
    head: Head,
    points: &[Point],
) -> Result<Option<Head>, sqlx::Error> {
    let columns = Columns::of(points);
    sqlx::query_as!(
        Head,
        "with moved as (
             update engine_head
             set last_sequence = $1 + cardinality($4::bigint[]),
                 changed_by = pg_current_xact_id()::text::bigint
             where last_sequence = $1 and changed_by = $2
             returning last_sequence, changed_by
         ), stored as (
             insert into points (sequence, source, position, point_index, event_id, occurred_at,
                                 series_id, date, known_from, value)
             select $1 + number, source, position, point_index, event_id, occurred_at,
                    series_id, date, known_from, value
             from moved,
                  unnest($3::text[], $4::bigint[], $5::int[], $6::text[], $7::timestamptz[],
                         $8::text[], $9::date[], $10::timestamptz[], $11::numeric[])
                      with ordinality as point (source, position, point_index, event_id,
                                                occurred_at, series_id, date, known_from, value,
                                                number)
         )
         select last_sequence, changed_by from moved",
        head.last_sequence,
        head.changed_by,
        &columns.sources as &[&str],
        &columns.positions,
        &columns.indices,
        &columns.event_ids,
        &columns.occurred_at,
        &columns.series_ids as &[&str],
        &columns.dates,
        &columns.known_from,
        &columns.values as &[Option<Decimal>],
    )
    .fetch_optional(connection)
    .await
}

/// Every point of some series, with its number, in sequence.
pub(crate) fn points_of<'a>(
    connection: &'a mut PgConnection,
    series: &'a [String],
) -> impl Stream<Item = Result<(i64, Point), sqlx::Error>> + 'a {
    let mut texts = Texts::default();
    sqlx::query_as!(
        Row,
        "select sequence, source, position, point_index, event_id, occurred_at, series_id, date,
                known_from, value
         from points where series_id = any($1) order by sequence",
        series
    )
    .fetch(connection)
    .map(move |row| texts.point(row?))
}

/// Those of some series of which there is any point.
pub(crate) async fn received_of(
    connection: &mut PgConnection,
    series: &[String],
) -> Result<BTreeSet<String>, sqlx::Error> {
    let received = sqlx::query_scalar!(
        r#"select asked.series_id as "series_id!" from unnest($1::text[]) as asked (series_id)
           where exists (select from points where points.series_id = asked.series_id)"#,
        series
    )
    .fetch_all(connection)
    .await?;
    Ok(received.into_iter().collect())
}

/// Texts that many points have in common.
#[derive(Default)]
pub(super) struct Texts(HashSet<Arc<str>>);

impl Texts {
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        text
    }

    pub(super) fn point(&mut self, row: Row) -> Result<(i64, Point), sqlx::Error> {
        let event_id = Ulid::from_string(&row.event_id);
        let point = Point {
            cause: Cause {
                source: self.shared(&row.source),
                position: row.position.unsigned_abs(),
                index: row.point_index.unsigned_abs(),
                event_id: event_id.map_err(|error| sqlx::Error::Decode(error.into()))?,
                occurred_at: row.occurred_at,
            },
            series: self.shared(&row.series_id),
            date: row.date,
            known_from: row.known_from,
            value: row.value.map(|value| value.normalize()),
        };
        Ok((row.sequence, point))
    }
}
