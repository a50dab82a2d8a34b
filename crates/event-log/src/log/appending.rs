//! What can be stored in a log: batches through its queue, and what callers store in transactions of
//! their own.

use std::time::Duration;

use atlas_events::Draft;
use sqlx::PgConnection;
use tracing::Instrument;

use crate::{
    EventLog, LogError, PendingAppend, Receipt, Sequence, Uncommitted, trace,
    write::sequencing::{in_transaction, locked::HistoryCheck, sequencer::Sequencer},
};

/// How long [`EventLog::append`] waits for room in the queue before it is refused.
pub const APPEND_WAIT_MAX: Duration = Duration::from_secs(1);

impl EventLog {
    /// Stores a batch atomically, together with whatever else waits to be stored. Returns one
    /// receipt for each event, in order, once it is durable. While the queue is full it waits for
    /// room, for up to [`APPEND_WAIT_MAX`].
    ///
    /// # Errors
    /// As [`PendingAppend`], and [`LogError::Overloaded`].
    pub async fn append(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>, LogError> {
        self.enqueue_within(drafts, APPEND_WAIT_MAX, None)
            .await?
            .await
    }

    /// Queues a batch behind all that were queued before it in this process, as soon as there is
    /// room for it. A batch that belongs to no sequence does not wait where the batches of others
    /// that do hold [`crate::LogConfig::queue_bytes_max`].
    ///
    /// # Errors
    /// [`LogError::Overloaded`] if there is no room within `wait_max`, [`LogError::Closed`]. Nothing
    /// was stored.
    pub async fn enqueue_within(
        &self,
        drafts: Vec<Draft>,
        wait_max: Duration,
        sequence: Option<Sequence>,
    ) -> Result<PendingAppend, LogError> {
        self.0
            .queue
            .enqueue_within(drafts, wait_max, sequence)
            .await
    }

    /// Queues a batch behind all that were queued before it in this process; if there is no room
    /// now, it is answered with [`LogError::Overloaded`].
    pub fn enqueue(&self, drafts: Vec<Draft>) -> PendingAppend {
        self.0.queue.enqueue(drafts)
    }

    /// Resolves once all that this process has queued so far has been answered; at once if nothing waits
    /// and no group is being stored, whether or not the database answers.
    pub async fn settled(&self) {
        let (waiting, _) = self.0.queue.waiting();
        if waiting > 0 || self.0.transfers.any() {
            // Answers come in the order of the queue.
            let _ = self.enqueue(Vec::new()).await;
        }
    }

    /// Stores a batch within the caller's transaction, which must be on a connection made by
    /// [`crate::connect_options`] for the schema of this log. Nothing is visible before it commits;
    /// until it ends no other process can append, so this belongs at its end.
    ///
    /// Once it has committed call [`Uncommitted::committed`]: readers of this process then have the
    /// events without a look at the database.
    ///
    /// # Errors
    /// [`LogError::TooOld`] or [`LogError::Database`]; the transaction is then to be rolled back.
    pub async fn append_in(
        &self,
        connection: &mut PgConnection,
        drafts: Vec<Draft>,
    ) -> Result<Uncommitted, LogError> {
        let projection = self.0.projection.as_deref();
        let span = trace::in_transaction(self.0.log_id, drafts.len());
        // From here on, as the commit may be announced before its caller hears of it.
        let transfer = self.0.transfers.begin();
        let mut sequencer = self.0.callers_sequencer.take();
        let check = HistoryCheck {
            history: &self.0.history,
            segments: &self.0.segments,
        };
        let appended = in_transaction::append(
            connection,
            &drafts,
            &mut sequencer,
            &self.0.channel,
            projection,
            check,
        )
        .instrument(span.clone())
        .await
        .inspect_err(|error| trace_context::failed(&span, error))?;
        trace::appended(&span, appended.positions());
        Ok(Uncommitted::new(
            self.clone(),
            drafts,
            appended,
            sequencer,
            transfer,
        ))
    }

    /// Takes note of what a caller's transaction has stored.
    pub(crate) fn note_committed(&self, receipts: &[Receipt], sequencer: Sequencer) {
        self.0.callers_sequencer.put(sequencer);
        self.0.metrics.committed(receipts);
        if let Some(projection) = &self.0.projection {
            let fresh = receipts.iter().filter(|receipt| !receipt.duplicate);
            projection.committed(fresh.count());
        }
    }
}
