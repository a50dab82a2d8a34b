//! What happens to stored events: retention, compression of old chunks, sizes, and what the edition of
//! the database allows.

mod compression;
mod edition;
pub(crate) mod retention;
mod usage;

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tracing::{info, warn};

pub(crate) use self::{edition::Edition, usage::Usage};
use crate::{database, log::UPKEEP_TIMEOUT, telemetry::LogMetrics};

/// How often sizes on disk are looked at, and how often what failed is tried again.
const INTERVAL: Duration = Duration::from_secs(60);

/// Looks after what is stored. Nothing here keeps a log from working.
pub(crate) struct Storage {
    pub(crate) pool: PgPool,
    pub(crate) edition: Edition,
    /// Chunks are compressed once all of their events are older than this; `None`: never.
    pub(crate) compress_after: Option<Duration>,
    pub(crate) metrics: Arc<LogMetrics>,
}

impl Storage {
    /// Sets compression up; `false` if that has to be tried again.
    pub(crate) async fn set_up(&self) -> bool {
        let Self { edition, .. } = self;
        let set_up = compression::ensure(&self.pool, edition, self.compress_after).await;
        self.metrics.compression_set_up(set_up.is_ok());
        match set_up {
            Ok(compression) => info!(%edition, "{compression}"),
            Err(error) => {
                warn!(%edition, %error, "compression of old chunks cannot be set up; trying again");
                return false;
            }
        }
        true
    }

    /// Reports sizes from time to time, for ever.
    pub(crate) async fn watch(self, mut is_set_up: bool) {
        let mut timer = tokio::time::interval(INTERVAL);
        loop {
            timer.tick().await;
            match database::within(UPKEEP_TIMEOUT, usage::read(&self.pool)).await {
                Ok(found) => self.metrics.saw_storage(&found),
                Err(error) => warn!(%error, "cannot read how much disk space the log takes"),
            }
            // The first tick is at once, right behind the first try.
            if !is_set_up {
                is_set_up = self.set_up().await;
            }
        }
    }
}
