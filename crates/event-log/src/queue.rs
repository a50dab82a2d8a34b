//! What waits to be stored, and how it gathers into groups.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use atlas_events::Draft;
use tokio::sync::{Notify, mpsc, oneshot};
use trace_context::TraceContext;

use crate::{LogConfig, LogError, Receipt, database::Deadline, rows::Rows, telemetry::LogMetrics};

/// A group takes no further batch once it has this many events or bytes.
const GROUP_EVENTS_MAX: usize = 4_000;
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A batch that waits to be stored.
pub(crate) struct Request {
    pub(crate) drafts: Vec<Draft>,
    /// The span that asked for it, if it is recorded.
    pub(crate) cause: Option<TraceContext>,
    pub(crate) rows: Rows,
    /// When the answer is due.
    pub(crate) deadline: Deadline,
    pub(crate) reply: oneshot::Sender<Result<Vec<Receipt>, LogError>>,
}

/// What waits to be stored.
#[derive(Debug)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
    events_max: usize,
    bytes_max: usize,
    /// Told once so many events wait.
    wanted: AtomicUsize,
    gathered: Notify,
}

impl Waiting {
    /// Takes room for a batch. A batch larger than all the room there is may wait alone.
    fn enter(&self, events: usize, bytes: usize) -> bool {
        let events_before = self.events.fetch_add(events, Ordering::SeqCst);
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

    /// Tells whoever waits for it that enough has gathered, if it has.
    fn tell_gathered(&self) {
        if self.events.load(Ordering::SeqCst) >= self.wanted.load(Ordering::SeqCst) {
            self.gathered.notify_one();
        }
    }

    /// Waits until so many events wait; may be dropped and called again.
    async fn gather(&self, events_min: usize) {
        self.wanted.store(events_min, Ordering::SeqCst);
        while self.events.load(Ordering::SeqCst) < events_min {
            self.gathered.notified().await;
        }
        self.wanted.store(usize::MAX, Ordering::SeqCst);
    }
}

/// Takes batches of events to be stored.
#[derive(Debug, Clone)]
pub(crate) struct AppendQueue {
    // Bounded by `waiting` and not by requests, since these differ a thousandfold in size.
    requests: mpsc::UnboundedSender<Request>,
    waiting: Arc<Waiting>,
    append_timeout: Duration,
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
            wanted: AtomicUsize::new(usize::MAX),
            gathered: Notify::new(),
        });
        let queue = Self {
            requests,
            waiting: Arc::clone(&waiting),
            append_timeout: config.append_timeout,
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
            deadline: Deadline::after(self.append_timeout),
            reply,
        };
        if let Err(refused) = self.requests.send(request) {
            self.waiting.leave(events, bytes);
            let _ = refused.0.reply.send(Err(LogError::Closed));
        }
        self.waiting.tell_gathered();
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

/// The other end of the queue.
pub(crate) struct AppendRequests {
    receiver: mpsc::UnboundedReceiver<Request>,
    waiting: Arc<Waiting>,
}

impl AppendRequests {
    /// All that waits, up to the size of a group; `None` once the queue is closed and empty.
    pub(crate) async fn next_group(&mut self) -> Option<Vec<Request>> {
        let first = self.receiver.recv().await?;
        Some(self.group_of(first))
    }

    /// The same, once at least so many events wait; never if `None`.
    pub(crate) async fn next_group_of(
        &mut self,
        events_min: Option<usize>,
    ) -> Option<Vec<Request>> {
        self.waiting.gather(events_min.unwrap_or(usize::MAX)).await;
        self.next_group().await
    }

    /// From now on nothing more is taken; what waits still is.
    pub(crate) fn close(&mut self) {
        self.receiver.close();
    }

    fn group_of(&mut self, first: Request) -> Vec<Request> {
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
        group
    }
}

fn bytes_of(drafts: &[Draft]) -> usize {
    drafts.iter().map(|draft| draft.encoded.len()).sum()
}
