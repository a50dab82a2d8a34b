//! The SQL on the table `series`.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::row::SeriesRow;
use crate::fred::FredSeries;

pub(crate) async fn list(pool: &PgPool) -> Result<Vec<SeriesRow>, sqlx::Error> {
    sqlx::query_as!(
        SeriesRow,
        "select series_id, source, title, units, frequency, seasonal_adjustment, schedule, paused,
                backfill_from, vintage_cursor, version, added_at, last_attempt_at, last_success_at,
                consecutive_failures, last_error_code, last_error_message, next_collection_at,
                metadata_asked_at
         from series order by series_id"
    )
    .fetch_all(pool)
    .await
}

pub(crate) async fn get(
    executor: impl PgExecutor<'_>,
    series_id: &str,
) -> Result<Option<SeriesRow>, sqlx::Error> {
    sqlx::query_as!(
        SeriesRow,
        "select series_id, source, title, units, frequency, seasonal_adjustment, schedule, paused,
                backfill_from, vintage_cursor, version, added_at, last_attempt_at, last_success_at,
                consecutive_failures, last_error_code, last_error_message, next_collection_at,
                metadata_asked_at
         from series where series_id = $1",
        series_id,
    )
    .fetch_optional(executor)
    .await
}

/// The row, locked until the transaction ends.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    series_id: &str,
) -> Result<Option<SeriesRow>, sqlx::Error> {
    sqlx::query_as!(
        SeriesRow,
        "select series_id, source, title, units, frequency, seasonal_adjustment, schedule, paused,
                backfill_from, vintage_cursor, version, added_at, last_attempt_at, last_success_at,
                consecutive_failures, last_error_code, last_error_message, next_collection_at,
                metadata_asked_at
         from series where series_id = $1 for update",
        series_id,
    )
    .fetch_optional(connection)
    .await
}

/// A row to be.
pub(crate) struct Addition<'a> {
    pub(crate) series_id: &'a str,
    pub(crate) metadata: Option<&'a FredSeries>,
    pub(crate) schedule: Option<&'a str>,
    pub(crate) backfill_from: Option<NaiveDate>,
    /// When it is added, and due for the first time.
    pub(crate) now: DateTime<Utc>,
}

/// False if the series is there already.
pub(crate) async fn insert(pool: &PgPool, added: &Addition<'_>) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into series (series_id, title, units, frequency, seasonal_adjustment, schedule,
                             backfill_from, added_at, next_collection_at, metadata_asked_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8::timestamptz, $8,
                 case when $2::text is null then null else $8::timestamptz end)
         on conflict do nothing",
        added.series_id,
        added.metadata.map(|m| m.title.as_str()),
        added.metadata.map(|m| m.units.as_str()),
        added.metadata.map(|m| m.frequency.as_str()),
        added.metadata.map(|m| m.seasonal_adjustment.as_str()),
        added.schedule,
        added.backfill_from,
        added.now,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// False if there is no such series, as for the following.
pub(crate) async fn pause(pool: &PgPool, series_id: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update series set paused = true where series_id = $1",
        series_id
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn resume(
    pool: &PgPool,
    series_id: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update series
         set paused = false,
             next_collection_at = case when paused then least(next_collection_at, $2)
                                       else next_collection_at end
         where series_id = $1",
        series_id,
        now,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn delete(pool: &PgPool, series_id: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("delete from series where series_id = $1", series_id)
        .execute(pool)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets a schedule and when it comes next; a collection that is to be tried again sooner, or was not
/// made yet at all, is not put off.
pub(crate) async fn set_schedule(
    pool: &PgPool,
    series_id: &str,
    schedule: Option<&str>,
    next: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update series
         set schedule = $2,
             next_collection_at = case
                 when consecutive_failures > 0 or vintage_cursor is null
                 then least(next_collection_at, $3) else $3 end
         where series_id = $1",
        series_id,
        schedule,
        next,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Has everything from a date on asked for again, which what is under way does not know.
pub(crate) async fn extend_backfill(
    pool: &PgPool,
    series_id: &str,
    from: Option<NaiveDate>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update series
         set backfill_from = $2, vintage_cursor = null, version = version + 1,
             next_collection_at = least(next_collection_at, $3)
         where series_id = $1",
        series_id,
        from,
        now,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Counts a part of a collection that is stored, so that others discard what they got meanwhile.
pub(crate) async fn progress(
    connection: &mut PgConnection,
    series_id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update series set version = version + 1 where series_id = $1",
        series_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A collection that succeeded.
pub(crate) struct Success<'a> {
    pub(crate) series_id: &'a str,
    /// What the source says about the series, if it was asked.
    pub(crate) metadata: Option<&'a FredSeries>,
    pub(crate) vintage_cursor: Option<NaiveDate>,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) next_collection_at: DateTime<Utc>,
}

pub(crate) async fn succeed(
    connection: &mut PgConnection,
    success: &Success<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update series
         set title = coalesce($2, title), units = coalesce($3, units),
             frequency = coalesce($4, frequency),
             seasonal_adjustment = coalesce($5, seasonal_adjustment),
             metadata_asked_at = case when $2::text is null then metadata_asked_at else $7::timestamptz end,
             vintage_cursor = $6, version = version + 1, last_attempt_at = $7, last_success_at = $7,
             consecutive_failures = 0, last_error_code = null, last_error_message = null,
             next_collection_at = $8, claimed_by = null, claimed_until = null
         where series_id = $1",
        success.series_id,
        success.metadata.map(|m| m.title.as_str()),
        success.metadata.map(|m| m.units.as_str()),
        success.metadata.map(|m| m.frequency.as_str()),
        success.metadata.map(|m| m.seasonal_adjustment.as_str()),
        success.vintage_cursor,
        success.asked_at,
        success.next_collection_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps what the source has said about a series until now, when it says something else.
pub(crate) async fn keep_metadata(
    connection: &mut PgConnection,
    series_id: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into series_metadata_changes
             (series_id, changed_at, title, units, frequency, seasonal_adjustment)
         select series_id, $2, title, units, frequency, seasonal_adjustment
         from series where series_id = $1
         on conflict do nothing",
        series_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A collection that was given up.
pub(crate) struct Failure<'a> {
    pub(crate) series_id: &'a str,
    pub(crate) error_code: &'a str,
    pub(crate) error_message: &'a str,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) next_collection_at: DateTime<Utc>,
}

pub(crate) async fn fail(
    connection: &mut PgConnection,
    failure: &Failure<'_>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update series
         set last_attempt_at = $2, consecutive_failures = consecutive_failures + 1,
             last_error_code = $3, last_error_message = $4, next_collection_at = $5,
             claimed_by = null, claimed_until = null
         where series_id = $1",
        failure.series_id,
        failure.asked_at,
        failure.error_code,
        failure.error_message,
        failure.next_collection_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Claims the series that has been due for longest and that nobody else is collecting. A claim that
/// was not renewed in time is free for others.
pub(crate) async fn claim(
    pool: &PgPool,
    worker: &str,
    lease: Duration,
    now: DateTime<Utc>,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "update series
         set claimed_by = $1, claimed_until = clock_timestamp() + make_interval(secs => $2)
         where series_id = (
             select series_id from series
             where not paused and next_collection_at <= $3
               and (claimed_until is null or claimed_until <= clock_timestamp())
             order by next_collection_at, series_id
             limit 1
             for update skip locked
         )
         returning series_id",
        worker,
        lease.as_secs_f64(),
        now,
    )
    .fetch_optional(pool)
    .await
}

/// Renews the claims of a worker on series that it is still collecting.
pub(crate) async fn renew(
    pool: &PgPool,
    worker: &str,
    series_ids: &[String],
    lease: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update series set claimed_until = clock_timestamp() + make_interval(secs => $3)
         where claimed_by = $1 and series_id = any($2)",
        worker,
        series_ids,
        lease.as_secs_f64(),
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives up every claim of a worker.
pub(crate) async fn release(pool: &PgPool, worker: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update series set claimed_by = null, claimed_until = null where claimed_by = $1",
        worker
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// How the series of a source fare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// When one was last collected.
    pub(crate) last_success_at: Option<DateTime<Utc>>,
    /// Collected when they are due.
    pub(crate) active: i64,
    pub(crate) paused: i64,
    /// Of the active ones, those whose last collection failed.
    pub(crate) failing: i64,
    /// Of the active ones, those that have been due since before a time.
    pub(crate) overdue: i64,
}

/// How the series of a source fare.
pub(crate) async fn standing(
    pool: &PgPool,
    source: &str,
    due_before: DateTime<Utc>,
) -> Result<Standing, sqlx::Error> {
    sqlx::query_as!(
        Standing,
        r#"select max(last_success_at) as last_success_at,
                  count(*) filter (where not paused) as "active!",
                  count(*) filter (where paused) as "paused!",
                  count(*) filter (where not paused and consecutive_failures > 0) as "failing!",
                  count(*) filter (where not paused and next_collection_at < $2) as "overdue!"
           from series where source = $1"#,
        source,
        due_before,
    )
    .fetch_one(pool)
    .await
}
