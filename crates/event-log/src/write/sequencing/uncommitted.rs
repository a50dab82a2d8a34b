use atlas_events::Draft;

use crate::{
    EventLog, Receipt,
    live::feeder::{LocalCommit, Transfer},
    write::{appended::Appended, sequencing::sequencer::Sequencer},
};

/// What a caller's transaction stores ([`EventLog::append_in`]), as long as nobody knows whether it
/// commits.
///
/// While it is held, this process expects a report and does not look for what others may have
/// announced. Dropped, it reports that the transaction was undone, or that nobody knows: what it
/// stored, should it have committed, is found in the database.
#[derive(Debug)]
#[must_use = "readers of this process wait for what becomes of it"]
pub struct Uncommitted {
    log: EventLog,
    receipts: Vec<Receipt>,
    /// What is known of the head then.
    sequencer: Sequencer,
    commit: LocalCommit,
    transfer: Transfer,
}

impl Uncommitted {
    pub(crate) fn new(
        log: EventLog,
        drafts: Vec<Draft>,
        appended: Appended,
        sequencer: Sequencer,
        transfer: Transfer,
    ) -> Self {
        Self {
            log,
            receipts: appended.receipts,
            sequencer,
            commit: LocalCommit {
                drafts,
                fresh: appended.fresh,
                first_position: appended.first_position,
                recorded_at: appended.recorded_at,
            },
            transfer,
        }
    }

    /// One for each draft, in order: valid once the transaction has committed.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// The transaction has committed, beyond doubt: counts what it stored, and gives it to the
    /// readers of this process.
    pub fn committed(self) {
        self.log.note_committed(&self.receipts, self.sequencer);
        self.transfer.finish(self.commit);
    }
}
