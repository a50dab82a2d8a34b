//! What is written into the head row of a log that went back. Both statements look once more whether the
//! event is missing that was known last: the database may be another one than it was a moment ago.

use sqlx::PgPool;
use uuid::Uuid;

use super::Mark;
use crate::{LogError, columns::stored};

/// Keeps every process from appending to the log.
pub(super) async fn write(
    pool: &PgPool,
    log_id: Uuid,
    position: u64,
    missing: Mark,
) -> Result<(), LogError> {
    sqlx::query!(
        "update log_head set halted_after = $1
         where log_id = $2 and halted_after is null and not exists (
             select from events where position = $3 and recorded_at = $4)",
        stored(position),
        log_id,
        stored(missing.position),
        missing.recorded_at,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives the log a new identity, unless another process has done so.
pub(super) async fn renew(pool: &PgPool, log_id: Uuid, missing: Mark) -> Result<(), LogError> {
    sqlx::query!(
        "update log_head set log_id = gen_random_uuid(), halted_after = null
         where log_id = $1 and not exists (
             select from events where position = $2 and recorded_at = $3)",
        log_id,
        stored(missing.position),
        missing.recorded_at,
    )
    .execute(pool)
    .await?;
    Ok(())
}
