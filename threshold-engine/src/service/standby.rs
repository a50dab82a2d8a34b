//! Keeps the memory up to date while another engine of the same database does the work: what REST
//! tells is of now, and whoever takes over has nothing to catch up on.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::SharedMemory;
use crate::store;

/// How old what REST tells may be.
const INTERVAL: Duration = Duration::from_secs(1);

/// Follows what others do until `stop`.
pub(crate) async fn follow(pool: PgPool, memory: SharedMemory, stop: CancellationToken) {
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = async {
        loop {
            timer.tick().await;
            if let Err(reason) = catch_up(&pool, &memory).await {
                debug!(%reason, "cannot look at what other engines did; trying again");
            }
        }
    };
    stop.run_until_cancelled(following).await;
}

async fn catch_up(pool: &PgPool, memory: &SharedMemory) -> Result<(), sqlx::Error> {
    let head = store::head(pool).await?;
    let known = memory.lock().await.head();
    // Where this engine does the work, its memory is ahead by the transaction under way, which is not
    // to wait for the lock below.
    if known.is_some_and(|known| known == head || known.last_sequence > head.last_sequence) {
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    let head = store::lock_head(&mut transaction).await?;
    memory.lock().await.agree(&mut transaction, head).await?;
    // Nothing was written: whoever waits for the lock is not to wait for the disk, too.
    transaction.rollback().await
}
