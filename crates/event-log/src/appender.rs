//! Group commit: while one transaction commits, what arrives meanwhile gathers for the next. There
//! is no artificial delay, so a lone event waits for nobody, and under load a group grows. Where much
//! waits, the rows of the next group are stored while the one before is being committed.

use std::sync::Arc;

use atlas_events::Draft;
use futures::future::join;
use tokio::{sync::oneshot, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{
    LogError, Receipt,
    ahead::{Ahead, Unfinished},
    append::Appended,
    error::is_data_error,
    queue::{AppendRequests, Request},
    rows::Rows,
    tail::{Handover, Handovers, LocalCommit},
    telemetry::LogMetrics,
    thread::StorageThread,
    trace,
    writer::{COPY_EVENTS_MIN, Writer},
};

/// Batches that are stored in one transaction.
struct Group {
    drafts: Vec<Draft>,
    rows: Vec<Rows>,
    replies: Vec<Reply>,
    handover: Handover,
    span: Span,
    begun: Instant,
}

/// Who waits for the receipts of how many events.
struct Reply {
    events: usize,
    to: oneshot::Sender<Result<Vec<Receipt>, LogError>>,
}

impl Group {
    fn of(requests: Vec<Request>, log_id: Uuid, handovers: &Handovers) -> Self {
        let mut drafts = Vec::with_capacity(requests.iter().map(|r| r.drafts.len()).sum());
        let mut rows = Vec::with_capacity(requests.len());
        let mut replies = Vec::with_capacity(requests.len());
        let mut causes = Vec::new();
        for mut request in requests {
            causes.extend(request.cause);
            replies.push(Reply {
                events: request.drafts.len(),
                to: request.reply,
            });
            drafts.append(&mut request.drafts);
            rows.push(request.rows);
        }
        Self {
            handover: handovers.begin(),
            span: trace::group(log_id, drafts.len(), &causes),
            begun: Instant::now(),
            drafts,
            rows,
            replies,
        }
    }

    fn rows(&self) -> Vec<&[u8]> {
        self.rows.iter().flat_map(Rows::iter).collect()
    }

    /// Each of its batches as a group.
    fn split(mut self, handovers: &Handovers) -> impl Iterator<Item = Self> {
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
                    handover: handovers.begin(),
                    span: self.span.clone(),
                    begun: Instant::now(),
                }
            })
    }
}

/// A group that was taken from the queue.
enum Taken {
    /// Its rows are stored, and wait for the group before it.
    Prepared(Group, Ahead),
    /// Nothing is done yet; it is stored once no other is under way.
    Waiting(Group),
}

/// The one task of the process that appends what was published.
pub(crate) struct Appender {
    pub(crate) requests: AppendRequests,
    pub(crate) log_id: Uuid,
    pub(crate) writer: Writer,
    /// Where large groups are stored; here, if there can be no such thread.
    pub(crate) thread: Option<Arc<StorageThread>>,
    pub(crate) outcome: Outcome,
}

/// Tells of what was stored.
pub(crate) struct Outcome {
    pub(crate) handovers: Handovers,
    pub(crate) metrics: Arc<LogMetrics>,
}

impl Appender {
    /// Runs until `stop`, and then until everything queued has been answered.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let requests = tokio::select! {
                requests = self.requests.next_group() => requests,
                () = stop.cancelled() => {
                    self.requests.close();
                    self.requests.next_group().await
                }
            };
            let Some(requests) = requests else { return };
            let group = self.take(requests);
            if let Some(group) = self.store_few(group).await {
                match self.store_on_thread(group, stop.clone()).await {
                    Some(appender) => self = appender,
                    None => return,
                }
            }
        }
    }

    /// Stores a group of a few events, if it is one.
    async fn store_few(&mut self, group: Group) -> Option<Group> {
        let stored = self.writer.append_few(&group.drafts);
        match stored.instrument(group.span.clone()).await {
            Ok(Some(appended)) => {
                self.outcome.stored(group, appended);
                None
            }
            Ok(None) => Some(group),
            // It will be found out whose they are.
            Err(error) if group.replies.len() > 1 && blames_events(&error) => Some(group),
            Err(error) => {
                self.outcome.failed(group, error);
                None
            }
        }
    }

    /// `None` if it panicked there.
    async fn store_on_thread(mut self, group: Group, stop: CancellationToken) -> Option<Self> {
        let thread = self.thread.clone();
        let storing = async move {
            self.store_many(group, &stop).await;
            self
        };
        match thread {
            Some(thread) => thread.run(storing).await.ok(),
            None => Some(storing.await),
        }
    }

    /// Stores a group, and those behind it for as long as much waits.
    async fn store_many(&mut self, group: Group, stop: &CancellationToken) {
        let mut next = Some(prepare(&mut self.writer, group).await);
        while let Some(taken) = next {
            next = match taken {
                Taken::Prepared(group, ahead) => {
                    let waiting = match stop.is_cancelled() {
                        true => None,
                        false => self.requests.waiting_group(COPY_EVENTS_MIN),
                    };
                    let following = waiting.map(|requests| self.take(requests));
                    self.finish(group, ahead, following).await
                }
                Taken::Waiting(group) => {
                    self.store_alone(group).await;
                    None
                }
            };
        }
    }

    fn take(&self, requests: Vec<Request>) -> Group {
        Group::of(requests, self.log_id, &self.outcome.handovers)
    }

    /// Commits what was prepared, and prepares the next group meanwhile.
    async fn finish(
        &mut self,
        group: Group,
        ahead: Ahead,
        following: Option<Group>,
    ) -> Option<Taken> {
        let Self {
            writer, outcome, ..
        } = self;
        let (channel, projection) = (writer.channel.clone(), writer.projection.clone());
        let finishing = async {
            let span = group.span.clone();
            let finished = ahead
                .finish(
                    &group.drafts,
                    &channel,
                    projection.as_deref(),
                    &outcome.metrics,
                )
                .instrument(span);
            match finished.await {
                Ok((appended, connection)) => {
                    outcome.stored(group, appended);
                    Ok(connection)
                }
                Err(unfinished) => Err((group, unfinished)),
            }
        };
        let preparing = async {
            match following {
                Some(group) => Some(prepare(writer, group).await),
                None => None,
            }
        };
        let (finished, following) = join(finishing, preparing).await;
        match finished {
            Ok(connection) => {
                self.writer.finished(connection);
                following
            }
            Err((group, unfinished)) => {
                // What was prepared behind it counted on it.
                let following = match following {
                    Some(Taken::Prepared(group, ahead)) => {
                        self.writer.unfinished(ahead.undo().await);
                        Some(Taken::Waiting(group))
                    }
                    other => other,
                };
                self.store_unfinished(group, unfinished).await;
                following
            }
        }
    }

    async fn store_unfinished(&mut self, group: Group, unfinished: Unfinished) {
        match unfinished {
            Unfinished::Undone(connection) => {
                self.writer.unfinished(connection);
                self.store_alone(group).await;
            }
            Unfinished::Failed(error) => {
                self.writer.unfinished(None);
                self.outcome.failed(group, error);
            }
        }
    }

    /// Stores a group while no other is under way.
    async fn store_alone(&mut self, group: Group) {
        let rows = group.rows();
        let stored = self.writer.append(&group.drafts, &rows);
        match stored.instrument(group.span.clone()).await {
            Ok(appended) => self.outcome.stored(group, appended),
            // One bad batch must not fail the others that happened to be in its group.
            Err(error) if group.replies.len() > 1 && blames_events(&error) => {
                self.outcome.nothing_stored(&group, &error);
                let handovers = self.outcome.handovers.clone();
                for batch in group.split(&handovers) {
                    Box::pin(self.store_alone(batch)).await;
                }
            }
            Err(error) => self.outcome.failed(group, error),
        }
    }
}

async fn prepare(writer: &mut Writer, group: Group) -> Taken {
    let rows = group.rows();
    let prepared = writer.prepare(&group.drafts, &rows);
    match prepared.instrument(group.span.clone()).await {
        Some(ahead) => Taken::Prepared(group, ahead),
        None => Taken::Waiting(group),
    }
}

impl Outcome {
    /// Counts a group, gives it to the ring, and answers.
    fn stored(&self, group: Group, appended: Appended) {
        trace::appended(&group.span, appended.positions());
        self.metrics.append_seconds.record(group.begun.elapsed());
        self.metrics.group_events.record(group.drafts.len() as f64);
        self.metrics.committed(&appended.receipts);
        group.handover.tell(LocalCommit {
            drafts: group.drafts,
            fresh: appended.fresh,
            first_position: appended.first_position,
            recorded_at: appended.recorded_at,
        });
        answer(group.replies, appended.receipts);
    }

    fn failed(&self, mut group: Group, error: LogError) {
        self.nothing_stored(&group, &error);
        let last = group.replies.pop();
        for reply in group.replies {
            let _ = reply.to.send(Err(copy_of(&error)));
        }
        if let Some(reply) = last {
            let _ = reply.to.send(Err(error));
        }
    }

    fn nothing_stored(&self, group: &Group, error: &LogError) {
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

/// Whether the fault lies with the events and not with the database.
fn blames_events(error: &LogError) -> bool {
    match error {
        LogError::TooOld { .. } => true,
        LogError::Database(error) => is_data_error(error),
        _ => false,
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
        other => LogError::Database(sqlx::Error::Protocol(other.to_string())),
    }
}

fn restated(source: &sqlx::Error) -> sqlx::Error {
    sqlx::Error::Protocol(source.to_string())
}
