//! The persisted stop of a consumer.

use sqlx::PgExecutor;

use super::Checkpoint;
use crate::database::stored;

/// Records that a service cannot go on from a checkpoint, unless the checkpoint was moved or stopped
/// meanwhile: false then.
pub(crate) async fn record_stop(
    executor: impl PgExecutor<'_>,
    service: &str,
    checkpoint: &Checkpoint,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let recorded = sqlx::query!(
        "update checkpoint set stopped_reason = $5, stopped_at = now()
         where service = $1 and source = $2 and log_id is not distinct from $3
             and position is not distinct from $4 and stopped_at is null",
        service,
        checkpoint.source,
        checkpoint.log_id,
        checkpoint.position.map(stored),
        reason.replace('\0', "\u{fffd}"),
    )
    .execute(executor)
    .await?;
    Ok(recorded.rows_affected() == 1)
}
