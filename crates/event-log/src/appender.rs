//! Group commit: while one transaction commits, what arrives meanwhile gathers for the next. There
//! is no artificial delay, so a lone event waits for nobody, and under load a group grows.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use atlas_events::Draft;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use trace_context::TraceContext;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{
    LogConfig, LogError, Receipt,
    append::Appended,
    error::is_data_error,
    rows::Rows,
    tail::{InFlight, LocalCommit},
    telemetry::LogMetrics,
    trace,
    writer::Writer,
};

/// A group takes no further batch once it has this many events or bytes.
const GROUP_EVENTS_MAX: usize = 4_000;
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

struct Request {
    drafts: Vec<Draft>,
    /// The span that asked for it, if it is recorded.
    cause: Option<TraceContext>,
    rows: Rows,
    reply: oneshot::Sender<Result<Vec<Receipt>, LogError>>,
}

/// Who waits for the receipts of how many events.
struct Reply {
    events: usize,
    to: oneshot::Sender<Result<Vec<Receipt>, LogError>>,
}

/// What waits to be stored.
#[derive(Debug)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
    events_max: usize,
    bytes_max: usize,
}

impl Waiting {
    /// Takes room for a batch. A batch larger than all the room there is may wait alone.
    fn enter(&self, events: usize, bytes: usize) -> bool {
        let events_before = self.events.fetch_add(events, Ordering::AcqRel);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let fits =
            events_before + events <= self.events_max && bytes_before + bytes <= self.bytes_max;
        let admitted = fits || events_before == 0;
        if !admitted {
            self.leave(events, bytes);
        }
        admitted
    }

    fn leave(&self, events: usize, bytes: usize) {
        self.events.fetch_sub(events, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// Takes batches of events to be stored.
#[derive(Debug, Clone)]
pub(crate) struct AppendQueue {
    // Bounded by `waiting` and not by requests, since these differ a thousandfold in size.
    requests: mpsc::UnboundedSender<Request>,
    waiting: Arc<Waiting>,
    metrics: Arc<LogMetrics>,
}

impl AppendQueue {
    /// A queue and the other end of it.
    pub(crate) fn new(config: &LogConfig, metrics: Arc<LogMetrics>) -> (Self, AppendRequests) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting {
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            events_max: config.queue_events_max,
            bytes_max: config.queue_bytes_max,
        });
        let queue = Self {
            requests,
            waiting: Arc::clone(&waiting),
            metrics,
        };
        (queue, AppendRequests { receiver, waiting })
    }

    /// Queues a batch, behind all that were queued before, and returns where the answer will be.
    pub(crate) fn enqueue(&self, drafts: Vec<Draft>) -> PendingAppend {
        let (reply, answer) = oneshot::channel();
        let pending = PendingAppend { answer };
        let (events, bytes) = (drafts.len(), bytes_of(&drafts));
        if !self.waiting.enter(events, bytes) {
            self.metrics.not_stored(&LogError::Overloaded);
            let _ = reply.send(Err(LogError::Overloaded));
            return pending;
        }
        let request = Request {
            rows: Rows::of(&drafts),
            drafts,
            cause: TraceContext::current(),
            reply,
        };
        if let Err(refused) = self.requests.send(request) {
            self.waiting.leave(events, bytes);
            let _ = refused.0.reply.send(Err(LogError::Closed));
        }
        pending
    }

    /// How many events wait, and how many bytes they have.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let Waiting { events, bytes, .. } = &*self.waiting;
        (
            events.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    }
}

/// The answer to a queued batch: one receipt for each event, in order, once the batch is durable.
/// Dropping it does not undo the append.
///
/// [`LogError::OutcomeUnknown`] says that the batch may or may not be stored; after any other error
/// it is certainly not.
#[derive(Debug)]
pub struct PendingAppend {
    answer: oneshot::Receiver<Result<Vec<Receipt>, LogError>>,
}

impl Future for PendingAppend {
    type Output = Result<Vec<Receipt>, LogError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The appender answers everything; unless its task was torn down, perhaps while committing.
        let torn_down = || LogError::OutcomeUnknown(sqlx::Error::WorkerCrashed);
        Pin::new(&mut self.answer)
            .poll(context)
            .map(|answer| answer.unwrap_or_else(|_| Err(torn_down())))
    }
}

pub(crate) struct AppendRequests {
    receiver: mpsc::UnboundedReceiver<Request>,
    waiting: Arc<Waiting>,
}

impl AppendRequests {
    /// All that waits, up to the size of a group; `None` once the queue is closed and empty.
    async fn next_group(&mut self) -> Option<Vec<Request>> {
        let first = self.receiver.recv().await?;
        let mut events = first.drafts.len();
        let mut bytes = bytes_of(&first.drafts);
        let mut group = vec![first];
        while events < GROUP_EVENTS_MAX && bytes < GROUP_BYTES_MAX {
            // Not `recv`, which lets the runtime cut a group off after 128 requests.
            let Ok(next) = self.receiver.try_recv() else {
                break;
            };
            events += next.drafts.len();
            bytes += bytes_of(&next.drafts);
            group.push(next);
        }
        self.waiting.leave(events, bytes);
        Some(group)
    }
}

fn bytes_of(drafts: &[Draft]) -> usize {
    drafts.iter().map(|draft| draft.encoded.len()).sum()
}

/// The one task of the process that appends what was published.
pub(crate) struct Appender {
    pub(crate) requests: AppendRequests,
    pub(crate) log_id: Uuid,
    pub(crate) writer: Writer,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) commits: mpsc::Sender<LocalCommit>,
    pub(crate) metrics: Arc<LogMetrics>,
}

impl Appender {
    /// Runs until `stop`, and then until everything queued has been answered.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let group = tokio::select! {
                group = self.requests.next_group() => group,
                () = stop.cancelled() => {
                    self.requests.receiver.close();
                    self.requests.next_group().await
                }
            };
            match group {
                Some(group) => self.store(group).await,
                None => return,
            }
        }
    }

    async fn store(&mut self, group: Vec<Request>) {
        let mut drafts = Vec::with_capacity(group.iter().map(|r| r.drafts.len()).sum());
        let mut rows = Vec::with_capacity(group.len());
        let mut replies = Vec::with_capacity(group.len());
        let mut causes = Vec::new();
        for mut request in group {
            causes.extend(request.cause);
            replies.push(Reply {
                events: request.drafts.len(),
                to: request.reply,
            });
            drafts.append(&mut request.drafts);
            rows.push(request.rows);
        }
        let all_rows: Vec<&[u8]> = rows.iter().flat_map(Rows::iter).collect();
        let span = trace::group(self.log_id, drafts.len(), &causes);
        match self.commit(&drafts, &all_rows).instrument(span).await {
            Ok(appended) => {
                let receipts = self.hand_over(drafts, appended);
                answer(replies, receipts);
            }
            Err(error) => {
                self.hand_over_nothing();
                if replies.len() > 1 && blames_events(&error) {
                    self.store_one_by_one(drafts, rows, replies).await;
                    return;
                }
                for reply in replies {
                    let _ = reply.to.send(Err(copy_of(&error)));
                }
            }
        }
    }

    /// One bad batch must not fail the others that happened to be in its group.
    async fn store_one_by_one(
        &mut self,
        mut drafts: Vec<Draft>,
        rows: Vec<Rows>,
        replies: Vec<Reply>,
    ) {
        for (reply, rows) in replies.into_iter().zip(rows) {
            let rest = drafts.split_off(reply.events);
            let own = std::mem::replace(&mut drafts, rest);
            let rows: Vec<_> = rows.iter().collect();
            let receipts = match self.commit(&own, &rows).await {
                Ok(appended) => Ok(self.hand_over(own, appended)),
                Err(error) => {
                    self.hand_over_nothing();
                    Err(error)
                }
            };
            let _ = reply.to.send(receipts);
        }
    }

    /// Stores drafts in one transaction. What comes of it is to be handed over.
    async fn commit(&mut self, drafts: &[Draft], rows: &[&[u8]]) -> Result<Appended, LogError> {
        let started = Instant::now();
        self.in_flight.begin();
        let appended = self
            .writer
            .append(drafts, rows)
            .await
            .inspect_err(|error| {
                trace_context::failed(&Span::current(), error);
                self.metrics.not_stored(error);
            })?;
        trace::appended(&Span::current(), appended.positions());
        self.metrics.append_seconds.record(started.elapsed());
        self.metrics.group_events.record(drafts.len() as f64);
        self.metrics.committed(&appended.receipts);
        Ok(appended)
    }

    /// Gives what was stored to the ring, and returns the receipts.
    fn hand_over(&self, drafts: Vec<Draft>, appended: Appended) -> Vec<Receipt> {
        self.tell_feeder(LocalCommit {
            drafts,
            fresh: appended.fresh,
            first_position: appended.first_position,
            recorded_at: appended.recorded_at,
        });
        appended.receipts
    }

    fn hand_over_nothing(&self) {
        self.tell_feeder(LocalCommit::default());
    }

    /// A feeder that is busy reading the database will find there what does not fit.
    fn tell_feeder(&self, commit: LocalCommit) {
        if self.commits.try_send(commit).is_err() {
            self.in_flight.end();
        }
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
