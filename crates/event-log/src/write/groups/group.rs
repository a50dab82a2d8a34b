//! A group of batches that are stored in one transaction, and the answers to its publishers.

use std::sync::Arc;

use atlas_events::Draft;
use tokio::{sync::oneshot, time::Instant};
use tracing::Span;
use uuid::Uuid;

use crate::{
    LogError, Receipt,
    database::{self, Deadline},
    live::feeder::{LocalCommit, Transfer, Transfers},
    telemetry::LogMetrics,
    trace,
    write::{
        appended::Appended,
        queue::{Request, Sequence},
        rows::Rows,
    },
};

/// Batches that are stored in one transaction.
pub(crate) struct Group {
    pub(crate) drafts: Vec<Draft>,
    rows: Vec<Rows>,
    replies: Vec<Reply>,
    transfer: Transfer,
    /// When the first of its batches is to be answered.
    pub(crate) deadline: Deadline,
    pub(crate) span: Span,
    begun: Instant,
}

/// Who waits for the receipts of how many events.
struct Reply {
    events: usize,
    sequence: Option<Sequence>,
    to: oneshot::Sender<Result<Vec<Receipt>, LogError>>,
}

impl Reply {
    fn is_broken(&self) -> bool {
        self.sequence.as_ref().is_some_and(Sequence::is_broken)
    }
}

impl Group {
    /// `None` if there are no requests.
    pub(crate) fn of(requests: Vec<Request>, log_id: Uuid, transfers: &Transfers) -> Option<Self> {
        let deadline = requests.iter().map(|request| request.deadline).min()?;
        let mut drafts = Vec::with_capacity(requests.iter().map(|r| r.drafts.len()).sum());
        let mut rows = Vec::with_capacity(requests.len());
        let mut replies = Vec::with_capacity(requests.len());
        let mut causes = Vec::new();
        for mut request in requests {
            causes.extend(request.cause);
            replies.push(Reply {
                events: request.drafts.len(),
                sequence: request.sequence,
                to: request.reply,
            });
            drafts.append(&mut request.drafts);
            rows.push(request.rows);
        }
        Some(Self {
            transfer: transfers.begin(),
            deadline,
            span: trace::group(log_id, drafts.len(), &causes),
            begun: Instant::now(),
            drafts,
            rows,
            replies,
        })
    }

    /// How many batches it contains.
    pub(crate) fn batches(&self) -> usize {
        self.replies.len()
    }

    /// The row of each draft.
    pub(crate) fn rows(&self) -> Vec<&[u8]> {
        self.rows.iter().flat_map(Rows::iter).collect()
    }

    /// Whether it holds a batch that must not be stored, since one before it in its sequence was
    /// not.
    pub(crate) fn is_broken(&self) -> bool {
        self.replies.iter().any(Reply::is_broken)
    }

    /// Each of its batches as a group.
    pub(crate) fn split(mut self, transfers: &Transfers) -> impl Iterator<Item = Self> {
        let replies = std::mem::take(&mut self.replies);
        replies
            .into_iter()
            .zip(self.rows)
            .map(move |(reply, rows)| {
                let rest = self.drafts.split_off(reply.events);
                Self {
                    drafts: std::mem::replace(&mut self.drafts, rest),
                    rows: vec![rows],
                    replies: vec![reply],
                    transfer: transfers.begin(),
                    deadline: self.deadline,
                    span: self.span.clone(),
                    begun: Instant::now(),
                }
            })
    }
}

/// Announces what was stored.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledger {
    pub(crate) transfers: Transfers,
    pub(crate) metrics: Arc<LogMetrics>,
}

impl Acknowledger {
    /// Counts a group, gives it to the ring, and answers.
    pub(crate) fn stored(&self, group: Group, appended: Appended) {
        trace::appended(&group.span, appended.positions());
        self.metrics.append_seconds.record(group.begun.elapsed());
        self.metrics.group_events.record(group.drafts.len() as f64);
        self.metrics.committed(&appended.receipts);
        group.transfer.finish(LocalCommit {
            drafts: group.drafts,
            fresh: appended.fresh,
            first_position: appended.first_position,
            recorded_at: appended.recorded_at,
        });
        answer(group.replies, appended.receipts);
    }

    /// Answers everybody with an error; nothing behind them in their sequences is stored.
    pub(crate) fn failed(&self, mut group: Group, error: LogError) {
        self.nothing_stored(&group, &error);
        for sequence in group.replies.iter().filter_map(|r| r.sequence.as_ref()) {
            sequence.break_off();
        }
        let last = group.replies.pop();
        for reply in group.replies {
            let _ = reply.to.send(Err(copy_of(&error)));
        }
        if let Some(reply) = last {
            let _ = reply.to.send(Err(error));
        }
    }

    /// Answers those who have waited for too long behind others: nothing of theirs was tried, and nothing
    /// behind them in their sequences is stored.
    pub(crate) fn too_late(&self, requests: Vec<Request>) {
        for request in requests {
            if let Some(sequence) = &request.sequence {
                sequence.break_off();
            }
            let error = LogError::Database(database::no_answer());
            self.metrics.not_stored(&error);
            let _ = request.reply.send(Err(error));
        }
    }

    /// Counts a group that is not stored, or not yet.
    pub(crate) fn nothing_stored(&self, group: &Group, error: &LogError) {
        trace_context::failed(&group.span, error);
        self.metrics.not_stored(error);
    }
}

/// Gives each batch of a group its own receipts.
fn answer(replies: Vec<Reply>, receipts: Vec<Receipt>) {
    let mut receipts = receipts.into_iter();
    for reply in replies {
        let own = receipts.by_ref().take(reply.events).collect();
        let _ = reply.to.send(Ok(own));
    }
}

/// The same answer for everybody in a group; the database's own words go to the log once.
fn copy_of(error: &LogError) -> LogError {
    match error {
        LogError::OutcomeUnknown(source) => LogError::OutcomeUnknown(restated(source)),
        LogError::Database(source) => LogError::Database(restated(source)),
        LogError::TooOld { index, earliest } => LogError::TooOld {
            index: *index,
            earliest: *earliest,
        },
        LogError::PrecedingNotStored => LogError::PrecedingNotStored,
        LogError::Unverified(reason) => LogError::Unverified(*reason),
        other => LogError::Database(sqlx::Error::Protocol(other.to_string())),
    }
}

fn restated(source: &sqlx::Error) -> sqlx::Error {
    sqlx::Error::Protocol(source.to_string())
}
