use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

/// An attempt succeeded: the destination works.
pub(crate) async fn note_success(
    connection: &mut PgConnection,
    destination: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update destinations set failures = 0, paused_until = null, pause_reason = null
         where destination = $1 and failures > 0",
        destination
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An attempt failed; how many in a row have.
pub(crate) async fn note_failure(
    connection: &mut PgConnection,
    destination: &str,
) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into destinations (destination, failures) values ($1, 1)
         on conflict (destination) do update set failures = destinations.failures + 1
         returning failures",
        destination
    )
    .fetch_one(connection)
    .await
}

/// Sends nothing to a destination until a time. What waits for it stays as it is, however much that is: who reads it
/// looks here.
pub(crate) async fn pause(
    connection: &mut PgConnection,
    destination: &str,
    until: DateTime<Utc>,
    reason: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into destinations (destination, paused_until, pause_reason) values ($1, $2, $3)
         on conflict (destination) do update
         set paused_until = greatest(destinations.paused_until, excluded.paused_until),
             pause_reason = excluded.pause_reason",
        destination,
        until,
        reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many destinations are paused.
pub(crate) async fn paused_count(
    database: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from destinations where paused_until > $1"#,
        now
    )
    .fetch_one(database)
    .await
}

/// Since when the delivery is due that has waited longest; `None` if none waits. What waits for a destination that fails
/// or is paused does not count.
pub(crate) async fn overdue_since(
    database: impl PgExecutor<'_>,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select min(not_before) from deliveries
         where state = 'pending' and not_before < $1 and not exists (
             select from destinations
             where destinations.destination = deliveries.destination
                 and (destinations.failures > 0 or destinations.paused_until > $1)
         )",
        now
    )
    .fetch_one(database)
    .await
}
