//! A source that is being read, and how far it is.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;

use crate::{
    Source,
    checkpoint::Checkpoint,
    processing::batch::Queue,
    source::{
        lag::SourceState,
        reader::{Reader, ReaderSettings},
    },
};

/// A source that is being read.
pub(crate) struct Running {
    pub(crate) source: Source,
    pub(crate) state: Arc<SourceState>,
    /// As last seen in the database.
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) queue: Queue,
    /// Events that were parked since one was processed last.
    pub(crate) parked_in_a_row: u64,
    _reader: AbortOnDropHandle<()>,
}

impl Running {
    pub(crate) fn start(
        source: Source,
        state: Arc<SourceState>,
        checkpoint: Option<Checkpoint>,
        settings: ReaderSettings,
    ) -> Self {
        let shared = Arc::clone(&state);
        let (reader, readings) = Reader::new(source.clone(), checkpoint.as_ref(), settings, shared);
        state.begins_after(
            checkpoint
                .as_ref()
                .and_then(|checkpoint| checkpoint.position),
        );
        Self {
            source,
            state,
            checkpoint,
            queue: Queue::new(readings),
            parked_in_a_row: 0,
            _reader: AbortOnDropHandle::new(tokio::spawn(reader.run())),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.source.name
    }

    /// Goes on behind a checkpoint that has advanced within what was received, without being started
    /// anew. False, and nothing is done, if it has not, or what is in hand reaches beyond it.
    pub(crate) fn go_on_behind(&mut self, found: &Checkpoint, in_hand: u64) -> bool {
        let place = |of: &Checkpoint| Some((of.log_id?, of.position?));
        let own = self.checkpoint.as_ref().and_then(place);
        let (Some((log_id, own)), Some((found_log_id, to))) = (own, place(found)) else {
            return false;
        };
        if found_log_id != log_id || to < own.max(in_hand) || !self.queue.skip_to(to) {
            return false;
        }
        self.state.processed_up_to(to, None);
        self.checkpoint = Some(found.clone());
        true
    }
}
