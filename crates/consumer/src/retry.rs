//! Parked events that are to be processed once more.

use tracing::{info, warn};

use crate::{
    Handler, SourcedEvent,
    attempt::{BEGIN, Failure},
    parked::UNDELIVERABLE,
    parking, turn,
    worker::{Halt, Worker},
};

impl<H: Handler> Worker<H> {
    /// Processes all that is marked as retrying, each in a transaction of its own. What fails in
    /// passing stays marked, for the next time.
    pub(crate) async fn retry_parked(&mut self) -> Result<(), Halt> {
        let mut last = 0;
        while !self.shutdown.is_cancelled() {
            let next = parking::next_retrying(&self.pool, &self.config.service, last).await;
            match next {
                Ok(Some(id)) => {
                    last = id;
                    self.retry(id).await;
                }
                Ok(None) => return Ok(()),
                Err(reason) => {
                    warn!(%reason, "cannot read the parked events");
                    return Ok(());
                }
            }
        }
        Err(Halt::Shutdown)
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
                parking::park_again(&self.pool, id, handler, &reason).await
            }
            // After a commit of unknown outcome the record itself tells what is left to do.
            other => {
                warn!(id, ?other, "a retry failed in passing");
                Ok(())
            }
        };
        if let Err(reason) = recorded {
            warn!(id, %reason, "cannot record that a retry failed; it will be repeated");
        }
    }

    async fn try_retry(&mut self, id: u64) -> Result<(), Failure> {
        let mut transaction = self.pool.begin_with(BEGIN).await?;
        // Before the event is locked, as a batch has its turn before it parks.
        let turn = turn::take(&mut transaction, &self.config.service).await?;
        let Some(parked) = parking::lock_retrying(&mut transaction, id).await? else {
            return Ok(());
        };
        let event = SourcedEvent {
            source: parked.source.into(),
            event: parked.event,
        };
        let handled = match event.undeliverable() {
            Some(reason) => Err(Failure::Permanent {
                position: None,
                handler: Some(UNDELIVERABLE.to_owned()),
                reason,
            }),
            None => self.guarded.handle(&mut transaction, turn, &[event]).await,
        };
        if let Err(failure) = handled {
            let _ = transaction.rollback().await;
            return Err(failure);
        }
        parking::resolve(&mut transaction, id).await?;
        transaction.commit().await.map_err(Failure::Unknown)?;
        self.guarded.end(turn, true);
        self.guarded.handler.committed();
        info!(id, "a parked event was processed");
        Ok(())
    }
}
