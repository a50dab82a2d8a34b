use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::Delivery;
use crate::suppression::Reason;

/// What became of an attempt that was the last one.
#[derive(Debug, Default)]
pub(crate) struct Finished<'a> {
    /// `sent`, `failed`, `given_up` or `suppressed`.
    pub(crate) state: &'a str,
    pub(crate) suppressed_by: Option<Reason>,
    pub(crate) receipt: Option<&'a str>,
    pub(crate) error: Option<&'a str>,
}

/// Ends a delivery whose attempt this process still holds; `None` if it does not.
pub(crate) async fn finish(
    connection: &mut PgConnection,
    (id, claim): (&str, i64),
    finished: &Finished<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "update deliveries
         set state = $3, suppressed_by = $4, receipt = $5, last_error = coalesce($6, last_error), finished_at = $7,
             lease_until = null, wait_reason = null,
             attempts = case when $3 = 'suppressed' then attempts - 1 else attempts end
         where id = $1 and claim = $2 and state = 'sending'
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        id,
        claim,
        finished.state,
        finished.suppressed_by.map(Reason::name),
        finished.receipt,
        finished.error,
        now,
    )
    .fetch_optional(connection)
    .await
}

/// Another attempt that is to come.
#[derive(Debug)]
pub(crate) struct Again<'a> {
    pub(crate) not_before: DateTime<Utc>,
    pub(crate) reason: &'a str,
    /// Whether the one before counts.
    pub(crate) counts: bool,
    /// Whether it is not known what became of it.
    pub(crate) is_unknown: bool,
}

/// Lets a delivery wait for another attempt; `None` if this process does not hold the one before.
pub(crate) async fn try_again(
    connection: &mut PgConnection,
    (id, claim): (&str, i64),
    again: &Again<'_>,
) -> Result<Option<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "update deliveries
         set state = 'pending', not_before = $3, wait_reason = $4, last_error = $4, lease_until = null,
             attempts = attempts - case when $5 then 0 else 1 end,
             unknown_attempts = unknown_attempts + case when $6 then 1 else 0 end
         where id = $1 and claim = $2 and state = 'sending'
         returning id, tenant, alert_id, channel_id, channel_kind, destination, kind, step, sequence, state, suppressed_by,
             suppressor, attempts, not_before, wait_reason, deadline, receipt, last_error, created_at, finished_at, caused_at",
        id,
        claim,
        again.not_before,
        again.reason,
        again.counts,
        again.is_unknown,
    )
    .fetch_optional(connection)
    .await
}

/// Nothing is sent to a channel until somebody enables it. Whether it was enabled.
pub(crate) async fn disable_channel(
    connection: &mut PgConnection,
    id: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update channels set enabled = false, disabled_reason = $2, version = version + 1, updated_at = $3
         where id = $1 and enabled",
        id,
        reason,
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The destination of a channel has another address.
pub(crate) async fn move_channel(
    connection: &mut PgConnection,
    id: &str,
    configuration: &Value,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update channels set configuration = $2, version = version + 1, updated_at = $3 where id = $1",
        id,
        configuration,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
