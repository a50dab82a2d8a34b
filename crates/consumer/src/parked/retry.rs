//! Parked events that are to be processed once more.

use std::time::{Duration, Instant};

use event_log::within;
use sqlx::PgConnection;
use tracing::{info, warn};

use crate::{
    Handler, SourcedEvent,
    parked::{event::UNDELIVERABLE, table},
    processing::{
        attempt::{self, Failure},
        turn::{self, Turn},
        worker::{Halt, Worker},
    },
};

/// Parked events are retried for so long before other events have their turn.
const SLICE: Duration = Duration::from_millis(20);

impl<H: Handler> Worker<H> {
    /// Processes some of what is marked as retrying, each in a transaction of its own, for so long that nothing else
    /// waits for it noticeably. What fails in passing stays marked, for the next time.
    pub(crate) async fn retry_some(&mut self) -> Result<(), Halt> {
        let began = Instant::now();
        while let Some(last) = self.retried_to {
            if self.shutdown.is_cancelled() {
                return Err(Halt::Shutdown);
            }
            let next = table::next_retrying(&self.pool, &self.config.service, last);
            self.retried_to = match within(self.config.database_answer_max, next).await {
                Ok(next) => next,
                Err(reason) => {
                    warn!(%reason, "cannot read the parked events");
                    None
                }
            };
            if let Some(id) = self.retried_to {
                self.retry(id).await;
            }
            if began.elapsed() >= SLICE {
                break;
            }
        }
        Ok(())
    }

    async fn retry(&mut self, id: u64) {
        let Err(failure) = self.try_retry(id).await else {
            return;
        };
        let recorded = match failure {
            Failure::Permanent {
                handler, reason, ..
            } => {
                let handler = handler.as_deref().unwrap_or(&self.config.service);
                info!(id, handler, reason, "a parked event cannot be processed");
                let parking = table::park_again(&self.pool, id, handler, &reason);
                within(self.config.database_answer_max, parking).await
            }
            // After a commit of unknown outcome the record itself shows what is left to do.
            other => {
                warn!(id, ?other, "a retry failed temporarily");
                Ok(())
            }
        };
        if let Err(reason) = recorded {
            warn!(id, %reason, "cannot record that a retry failed; it will be repeated");
        }
    }

    async fn try_retry(&mut self, id: u64) -> Result<(), Failure> {
        let mut taken = self.session.take().await?;
        let watch = taken.watch.clone();
        let mut transaction = attempt::begin(&mut taken).await?;
        let retried = watch.over(self.retry_in(&mut transaction, id)).await?;
        let turn = match retried {
            Ok(Some(turn)) => turn,
            undone => {
                let _ = watch.over(transaction.rollback()).await;
                return undone.map(drop);
            }
        };
        attempt::commit(transaction, &watch).await?;
        self.session.put_back(taken);
        self.guarded.end(turn, true);
        self.guarded.handler.committed();
        info!(id, "a parked event was processed");
        Ok(())
    }

    /// `None` if the event is no longer to be retried.
    async fn retry_in(
        &mut self,
        transaction: &mut PgConnection,
        id: u64,
    ) -> Result<Option<Turn>, Failure> {
        // Before the event is locked, as a batch has its turn before it parks.
        let turn = turn::take(transaction, &self.config.service).await?;
        let Some(parked) = table::lock_retrying(transaction, id).await? else {
            return Ok(None);
        };
        let event = SourcedEvent {
            source: parked.source.into(),
            event: parked.event,
        };
        if let Some(reason) = event.undeliverable() {
            return Err(Failure::Permanent {
                position: None,
                handler: Some(UNDELIVERABLE.to_owned()),
                reason,
            });
        }
        let events = [event];
        if let Some((_, reason)) = self.guarded.unprocessable(&events).pop() {
            return Err(Failure::Permanent {
                position: None,
                handler: None,
                reason,
            });
        }
        self.guarded.handle(transaction, turn, &events).await?;
        table::resolve(transaction, id).await?;
        Ok(Some(turn))
    }
}
