//! Moves of checkpoints that operators make. Each ends a stop; what else follows from it is in the
//! trigger of the table.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::database::{position, stored};

/// Sends a service back to the first event that occurred at or after a time (`None`: to the first
/// that the log keeps), in whatever log the source is then. Returns how many checkpoints there are.
pub(crate) async fn seek(
    connection: &mut PgConnection,
    service: &str,
    source: Option<&str>,
    time: Option<DateTime<Utc>>,
) -> Result<u64, sqlx::Error> {
    let moved = sqlx::query!(
        "update checkpoint
         set log_id = null, position = null, last_processed = $3, stopped_reason = null,
             stopped_at = null, updated_at = now()
         where service = $1 and ($2::text is null or source = $2)",
        service,
        source,
        time,
    )
    .execute(connection)
    .await?;
    Ok(moved.rows_affected())
}

/// Sends a service to a position of a log (`None`: of the one that the checkpoint names). Returns how
/// many checkpoints there are, and how many of them were left because no log is known for them.
pub(crate) async fn set_position(
    connection: &mut PgConnection,
    service: &str,
    source: Option<&str>,
    log_id: Option<Uuid>,
    to: u64,
) -> Result<(u64, u64), sqlx::Error> {
    let counts = sqlx::query!(
        r#"with meant as (
               select source, coalesce($4, log_id) as log_id from checkpoint
               where service = $1 and ($2::text is null or source = $2)
               for update
           ), moved as (
               update checkpoint
               set log_id = meant.log_id, position = $3, stopped_reason = null, stopped_at = null,
                   event_id = case when stopped_at is null then event_id end,
                   event_position = case when stopped_at is null then event_position end,
                   updated_at = now()
               from meant
               where checkpoint.service = $1 and checkpoint.source = meant.source
                   and meant.log_id is not null
           )
           select count(*) as "all!", count(*) filter (where log_id is null) as "without_log!"
           from meant"#,
        service,
        source,
        stored(to),
        log_id,
    )
    .fetch_one(connection)
    .await?;
    Ok((position(counts.all), position(counts.without_log)))
}

/// Has a service go on in a log which agrees with the one of the checkpoint up to a position: from
/// there, or from the checkpoint if that is before. Returns how many checkpoints there are, and how
/// many of them were left because they have no position.
pub(crate) async fn continue_in(
    connection: &mut PgConnection,
    service: &str,
    source: Option<&str>,
    log_id: Uuid,
    common: u64,
) -> Result<(u64, u64), sqlx::Error> {
    let counts = sqlx::query!(
        r#"with meant as (
               select source, position from checkpoint
               where service = $1 and ($2::text is null or source = $2)
               for update
           ), moved as (
               update checkpoint
               set log_id = $4, position = least(meant.position, $3), stopped_reason = null,
                   stopped_at = null, updated_at = now()
               from meant
               where checkpoint.service = $1 and checkpoint.source = meant.source
                   and meant.position is not null
           )
           select count(*) as "all!", count(*) filter (where position is null) as "without_position!"
           from meant"#,
        service,
        source,
        stored(common),
        log_id,
    )
    .fetch_one(connection)
    .await?;
    Ok((position(counts.all), position(counts.without_position)))
}
