//! What is written into the head row of a log that went back.

use sqlx::PgPool;
use uuid::Uuid;

use crate::{LogError, head::stored};

/// Keeps every process from appending to the log.
pub(super) async fn write(pool: &PgPool, log_id: Uuid, position: u64) -> Result<(), LogError> {
    sqlx::query!(
        "update log_head set halted_after = $1 where log_id = $2 and halted_after is null",
        stored(position),
        log_id,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives the log a new identity, unless another process has done so.
pub(super) async fn renew(pool: &PgPool, log_id: Uuid) -> Result<(), LogError> {
    sqlx::query!(
        "update log_head set log_id = gen_random_uuid(), halted_after = null where log_id = $1",
        log_id,
    )
    .execute(pool)
    .await?;
    Ok(())
}
