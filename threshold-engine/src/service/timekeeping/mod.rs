//! Recording that days have passed, for definitions that are evaluated every day.
//!
//! A day that has passed is a point of the series [`TIME`](evaluation::series::TIME) in the one sequence, recorded with what
//! is emitted for it by whichever engine is the first to hold the lock of the head. From then on it is replayed like any
//! other point.

#[cfg(test)]
mod tests;

use std::time::Duration;

use atlas_events::Clock;
use chrono::{DateTime, Utc};
use consumer::{ConsumerStatus, Handler, HandlerError};
use metrics::counter;
use sqlx::PgPool;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{AgreeError, SharedMemory};
use crate::{handler::EngineHandler, store};
use evaluation::series::{Point, due};

const INTERVAL: Duration = Duration::from_secs(1);

/// Records the days that pass.
#[derive(Debug)]
pub(crate) struct Timekeeper {
    pool: PgPool,
    memory: SharedMemory,
    handler: EngineHandler,
    status: ConsumerStatus,
    clock: Clock,
    /// Not since a transaction of its own began that may have been undone.
    is_settled: bool,
}

/// Why no day could be recorded now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimeError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Agree(#[from] AgreeError),
    #[error(transparent)]
    Handler(#[from] HandlerError),
}

impl Timekeeper {
    pub(crate) fn new(
        pool: PgPool,
        memory: SharedMemory,
        handler: EngineHandler,
        status: ConsumerStatus,
    ) -> Self {
        Self {
            pool,
            memory,
            handler,
            status,
            clock: Clock::system(),
            is_settled: true,
        }
    }

    /// Records the days that pass until `stop`.
    pub(crate) async fn keep(mut self, stop: CancellationToken) {
        let mut timer = tokio::time::interval(INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let keeping = async {
            loop {
                timer.tick().await;
                let Some(moment) = self.moment() else {
                    continue;
                };
                match self.pass_to(moment).await {
                    Ok(0) => {}
                    Ok(days) => info!(days, "days have passed and are recorded"),
                    Err(TimeError::Agree(AgreeError::Behind)) => {
                        debug!("the memory is behind; trying again");
                    }
                    Err(reason) => {
                        warn!(%reason, "the passed days cannot be recorded; trying again")
                    }
                }
            }
        };
        stop.run_until_cancelled(keeping).await;
    }

    /// Up to when everything is processed that any source has stored, by its clock and by this machine's. Time does not
    /// pass while a source cannot be reached, or there is more to consume: what is merely unread is not missing.
    fn moment(&self) -> Option<DateTime<Utc>> {
        let sources = self.status.sources();
        let complete = sources.into_iter().map(|source| source.complete_until);
        let now = Some(self.clock.now());
        complete.chain([now]).reduce(Option::min).flatten()
    }

    /// Records the days that are over at a moment and are not recorded yet, if a definition is evaluated daily; gives how
    /// many. Several engines of a database record each day once.
    pub(crate) async fn pass_to(&mut self, moment: DateTime<Utc>) -> Result<usize, TimeError> {
        if self.is_settled && self.due(moment).await.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.pool.begin().await?;
        let head = store::lock_head(&mut transaction).await?;
        let mut memory = self.memory.lock().await;
        memory.agree(&mut transaction, head).await?;
        drop(memory);
        self.is_settled = true;
        // The head is locked: what is due now is so until the end.
        let days = self.due(moment).await;
        if days.is_empty() {
            return Ok(0);
        }
        self.is_settled = false;
        self.handler.process(&mut transaction, &days, &[]).await?;
        transaction.commit().await?;
        self.is_settled = true;
        self.handler.committed();
        counter!("thresholdengine_passed_days_total").increment(days.len() as u64);
        Ok(days.len())
    }

    async fn due(&self, moment: DateTime<Utc>) -> Vec<Point> {
        let engine = &self.memory.lock().await.engine;
        match engine.is_daily() {
            true => due(engine.last_passed(), moment),
            false => Vec::new(),
        }
    }
}
