//! How a consumer stops, and stays stopped when a log contradicts its checkpoint: the stop is a part
//! of the checkpoint, so that no restart goes on where it must not, and every instance sees it.

use event_log::within;
use tracing::{error, warn};

use crate::{
    ConsumerError, Handler,
    checkpoint::{self, Checkpoint},
    processing::worker::{Halt, Worker},
    source::lag::SourceState,
};

impl<H: Handler> Worker<H> {
    /// A source cannot be consumed any further. `Ok` if its checkpoint was moved meanwhile: it has been
    /// started from there.
    pub(crate) async fn give_up(&mut self, index: usize, error: ConsumerError) -> Result<(), Halt> {
        let source = &self.sources[index];
        // Without a position nothing was processed that the log could contradict.
        let processed = source.checkpoint.as_ref().filter(|c| c.position.is_some());
        let Some(checkpoint) = processed.filter(|_| error.contradicts_checkpoint()) else {
            return Err(halt(&source.state, error));
        };
        let reason = error.to_string();
        let mut failures = 0;
        let recorded = loop {
            let service = &self.config.service;
            let recording = checkpoint::record_stop(&self.pool, service, checkpoint, &reason);
            match within(self.config.database_answer_max, recording).await {
                Ok(recorded) => break recorded,
                Err(failure) => warn!(%failure, "cannot record the stop; trying again"),
            }
            failures += 1;
            self.pause(failures).await?;
        };
        if recorded {
            return Err(halt(&source.state, error));
        }
        let found = self.load_checkpoint(index).await?;
        self.follow(index, found, 0);
        Ok(())
    }
}

/// Logs an error, once, that a source is not consumed any more.
pub(crate) fn halt(state: &SourceState, error: ConsumerError) -> Halt {
    let reason = error.to_string();
    error!(source = state.name(), %reason, "CONSUMPTION IS STOPPED until an operator decides");
    state.stopped(reason);
    Halt::Fatal(error)
}

/// The error that a stopped checkpoint is.
pub(crate) fn stopped(checkpoint: &Checkpoint) -> Option<ConsumerError> {
    let stop = checkpoint.stop.as_ref()?;
    Some(ConsumerError::Stopped {
        name: checkpoint.source.clone(),
        reason: stop.reason.clone(),
        at: stop.at,
    })
}

/// The same for the checkpoint of a source.
pub(crate) fn stop_of(found: &[Checkpoint], source: &str) -> Option<ConsumerError> {
    found.iter().find(|c| c.source == source).and_then(stopped)
}
