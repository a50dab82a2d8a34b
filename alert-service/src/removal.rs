//! Removes what is kept long enough: alerts and silences that ended, requests that are remembered, and edits of rules.

use std::time::Duration;

use chrono::TimeDelta;
use metrics::counter;
use sqlx::PgPool;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{context::Context, store};

/// In one transaction: it holds locks for a fraction of a second.
const BATCH: i64 = 500;
const INTERVAL: Duration = Duration::from_secs(3_600);
/// Between batches, so that a large backlog leaves the database to others.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a request with an idempotency key is remembered.
const REQUESTS_KEPT: TimeDelta = TimeDelta::days(1);

/// What is removed, and when.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    pub(crate) pool: PgPool,
    pub(crate) context: Context,
    /// How long alerts and silences are kept after their end.
    pub(crate) keep: TimeDelta,
    /// How long edits of rules are kept, for instances that have not seen them.
    pub(crate) keep_edits: TimeDelta,
}

impl Removal {
    /// Removes at once, and then each hour, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let removing = async {
            loop {
                if let Err(error) = self.remove().await {
                    warn!(%error, "old alerts cannot be removed; trying again in an hour");
                }
                sleep(INTERVAL).await;
            }
        };
        stop.run_until_cancelled(removing).await;
    }

    async fn remove(&self) -> Result<(), sqlx::Error> {
        let now = self.context.now();
        let mut total = 0;
        loop {
            let removed = store::remove_ended_alerts(&self.pool, now - self.keep, BATCH).await?;
            total += removed;
            counter!("alertservice_alerts_removed_total").increment(removed as u64);
            if removed == 0 {
                break;
            }
            sleep(PAUSE).await;
        }
        if total > 0 {
            info!(total, "alerts that ended long ago were removed");
        }
        while store::remove_ended_silences(&self.pool, now - self.keep, BATCH).await? > 0 {
            sleep(PAUSE).await;
        }
        while store::forget_requests(&self.pool, now - REQUESTS_KEPT, BATCH).await? > 0 {
            sleep(PAUSE).await;
        }
        while store::forget_edits(&self.pool, now - self.keep_edits, BATCH).await? > 0 {
            sleep(PAUSE).await;
        }
        Ok(())
    }
}
