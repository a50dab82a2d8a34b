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
    // Where this engine does the work, a transaction may be under way: that of the lock below then
    // finds that nothing is missing.
    if memory.lock().await.head() == Some(head) {
        return Ok(());
    }
    let mut transaction = pool.begin().await?;
    let head = store::lock_head(&mut transaction).await?;
    memory.lock().await.agree(&mut transaction, head).await?;
    transaction.commit().await
}
