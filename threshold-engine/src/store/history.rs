//! What was recorded, in pages. Nothing of it ever changes or goes: what lies behind a head that was
//! committed can be read in any number of statements, without any lock.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::PgExecutor;

use super::{
    Change, Head, Put,
    changes::kind_of,
    points::{Row, Texts},
};
use evaluation::series::Point;

/// How much was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) head: Head,
    /// How many changes of definitions there were.
    pub(crate) changes: i64,
}

/// A value of a series that is read for the first time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vintage {
    pub(crate) sequence: i64,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) date: NaiveDate,
    pub(crate) known_from: DateTime<Utc>,
    pub(crate) value: Option<Decimal>,
}

/// How much is recorded now.
pub(crate) async fn recorded(database: impl PgExecutor<'_>) -> Result<Recorded, sqlx::Error> {
    let row = sqlx::query!(
        r#"select last_sequence, changed_by,
                  (select count(*) from definition_changes) as "changes!"
           from engine_head"#
    )
    .fetch_one(database)
    .await?;
    Ok(Recorded {
        head: Head {
            last_sequence: row.last_sequence,
            changed_by: row.changed_by,
        },
        changes: row.changes,
    })
}

/// Whether the transaction that a head names was committed, so that all that led to it is recorded.
///
/// A head that was remembered may be of a transaction that was rolled back, and others may have given
/// its numbers to points of theirs. That it was committed is proven by what it stored: a row carries
/// the lower half of the number of its transaction.
pub(crate) async fn is_committed(
    database: impl PgExecutor<'_>,
    head: Head,
) -> Result<bool, sqlx::Error> {
    if head == Head::default() {
        return Ok(true);
    }
    sqlx::query_scalar!(
        r#"select exists (
               select 1 from points
               where sequence = $1 and xmin::text::bigint = $2 & 4294967295
               union all
               select 1 from definition_changes
               where after_sequence = $1 and xmin::text::bigint = $2 & 4294967295
           ) as "is_committed!""#,
        head.last_sequence,
        head.changed_by,
    )
    .fetch_one(database)
    .await
}

/// Changes of definitions behind the first `known`, in order, at most `limit`.
pub(crate) async fn changes_after(
    database: impl PgExecutor<'_>,
    known: i64,
    limit: i64,
) -> Result<Vec<Change>, sqlx::Error> {
    let rows = sqlx::query!(
        "select kind, id, version, file, content, after_sequence
         from definition_changes order by change offset $1 limit $2",
        known,
        limit
    )
    .fetch_all(database)
    .await?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        let put = row.version.zip(row.file).zip(row.content);
        changes.push(Change {
            kind: kind_of(&row.kind)?,
            id: row.id,
            put: put.map(|((version, file), content)| Put {
                version,
                file,
                content,
            }),
            after_sequence: row.after_sequence,
        });
    }
    Ok(changes)
}

/// The points of some series with numbers from `after`, which does not count, up to `to`, in sequence.
pub(crate) async fn points_between(
    database: impl PgExecutor<'_>,
    after: i64,
    to: i64,
    series: &[String],
) -> Result<Vec<(i64, Point)>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select sequence, source, position, point_index, event_id, occurred_at, series_id, date,
                known_from, value
         from points where sequence > $1 and sequence <= $2 and series_id = any($3)
         order by sequence",
        after,
        to,
        series
    )
    .fetch_all(database)
    .await?;
    let mut texts = Texts::default();
    rows.into_iter().map(|row| texts.point(row)).collect()
}

/// The first points of a series with numbers from `after`, which does not count, up to `to`: at most
/// `limit`, in sequence.
pub(crate) async fn vintages_of(
    database: impl PgExecutor<'_>,
    series: &str,
    after: i64,
    to: i64,
    limit: i64,
) -> Result<Vec<Vintage>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Vintage,
        "select sequence, occurred_at, date, known_from, value
         from points where series_id = $1 and sequence > $2 and sequence <= $3
         order by sequence limit $4",
        series,
        after,
        to,
        limit
    )
    .fetch_all(database)
    .await?;
    let normal = |row: Vintage| Vintage {
        value: row.value.map(|value| value.normalize()),
        ..row
    };
    Ok(rows.into_iter().map(normal).collect())
}
