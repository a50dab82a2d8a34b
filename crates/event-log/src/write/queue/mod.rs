//! What waits to be stored, and how it gathers into groups.

mod room;
mod sequence;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use atlas_events::{Clock, Draft};
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, mpsc, oneshot};
use trace_context::TraceContext;

use crate::{
    LogConfig, LogError, Receipt,
    database::Deadline,
    telemetry::LogMetrics,
    write::{
        queue::room::{Place, Room},
        rows::Rows,
    },
};

pub use sequence::Sequence;

/// A group takes no further batch once it has this many events, or bytes in memory.
const GROUP_EVENTS_MAX: usize = 4_000;
const GROUP_BYTES_MAX: usize = 16 * 1024 * 1024;
/// An event that may go into a compressed chunk counts as so many in a group: the database takes a
/// millisecond or more for each, while the head is locked and publishers wait for an answer.
const LATE_WEIGHT: usize = 8;

/// A batch that waits to be stored.
pub(crate) struct Request {
    pub(crate) drafts: Vec<Draft>,
    /// The span that asked for it, if it is recorded.
    pub(crate) cause: Option<TraceContext>,
    pub(crate) rows: Rows,
    pub(crate) sequence: Option<Sequence>,
    /// When the answer is due.
    pub(crate) deadline: Deadline,
    pub(crate) reply: oneshot::Sender<Result<Vec<Receipt>, LogError>>,
    place: Place,
}

impl Request {
    /// Refuses it if a batch before it in its sequence was not stored.
    pub(crate) fn unless_broken(self) -> Option<Self> {
        if !self.sequence.as_ref().is_some_and(Sequence::is_broken) {
            return Some(self);
        }
        let _ = self.reply.send(Err(LogError::PrecedingNotStored));
        None
    }
}

/// What waits to be stored.
#[derive(Debug)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
    /// Notified once so many events wait.
    wanted: AtomicUsize,
    gathered: Notify,
}

impl Waiting {
    fn enter(&self, events: usize, bytes: usize) {
        self.events.fetch_add(events, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    fn leave(&self, events: usize, bytes: usize) {
        self.events.fetch_sub(events, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Notifies whoever waits for it that enough has gathered, if it has.
    fn notify_gathered(&self) {
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
    // Bounded by `room` and not by requests, since these differ a thousandfold in size.
    requests: mpsc::UnboundedSender<Request>,
    room: Room,
    waiting: Arc<Waiting>,
    append_timeout: Duration,
    metrics: Arc<LogMetrics>,
}

impl AppendQueue {
    /// A queue and the other end of it. Events that are older than `compress_after` may go into
    /// compressed chunks.
    pub(crate) fn new(
        config: &LogConfig,
        compress_after: Option<Duration>,
        metrics: Arc<LogMetrics>,
    ) -> (Self, AppendRequests) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let room = Room::new(config.queue_events_max, config.queue_bytes_max);
        let waiting = Arc::new(Waiting {
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            wanted: AtomicUsize::new(usize::MAX),
            gathered: Notify::new(),
        });
        let queue = Self {
            requests,
            room: room.clone(),
            waiting: Arc::clone(&waiting),
            append_timeout: config.append_timeout,
            metrics,
        };
        let other_end = AppendRequests {
            receiver,
            room,
            waiting,
            compress_after,
            clock: config.clock.clone(),
        };
        (queue, other_end)
    }

    /// Queues a batch behind all that were queued before, and returns where the answer will be. If
    /// there is no room now, the answer is [`LogError::Overloaded`].
    pub(crate) fn enqueue(&self, drafts: Vec<Draft>) -> PendingAppend {
        match self.room.try_enter(drafts.len(), bytes_of(&drafts)) {
            Ok(place) => self.put(drafts, place, None),
            Err(error) => {
                self.metrics.not_stored(&error);
                let (reply, answer) = oneshot::channel();
                let _ = reply.send(Err(error));
                PendingAppend { answer }
            }
        }
    }

    /// Queues a batch as soon as there is room for it. A call (a batch without a sequence) does not
    /// wait if those that do hold as much as may be queued.
    ///
    /// # Errors
    /// [`LogError::Overloaded`] if there is none within `wait_max`, [`LogError::Closed`].
    pub(crate) async fn enqueue_within(
        &self,
        drafts: Vec<Draft>,
        wait_max: Duration,
        sequence: Option<Sequence>,
    ) -> Result<PendingAppend, LogError> {
        let (events, bytes) = (drafts.len(), bytes_of(&drafts));
        let entered = match sequence {
            // Its publisher is not read on meanwhile, so that each holds one batch here.
            Some(_) => self.room.enter(events, bytes, wait_max).await,
            None => self.room.enter_if_few_wait(events, bytes, wait_max).await,
        };
        let place = entered.inspect_err(|error| self.metrics.not_stored(error))?;
        Ok(self.put(drafts, place, sequence))
    }

    fn put(&self, drafts: Vec<Draft>, place: Place, sequence: Option<Sequence>) -> PendingAppend {
        let (reply, answer) = oneshot::channel();
        let (events, bytes) = (drafts.len(), place.bytes());
        self.waiting.enter(events, bytes);
        let request = Request {
            rows: Rows::of(&drafts),
            drafts,
            cause: TraceContext::current(),
            sequence,
            deadline: Deadline::after(self.append_timeout),
            reply,
            place,
        };
        if let Err(refused) = self.requests.send(request) {
            self.waiting.leave(events, bytes);
            let _ = refused.0.reply.send(Err(LogError::Closed));
        }
        self.waiting.notify_gathered();
        PendingAppend { answer }
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
    room: Room,
    waiting: Arc<Waiting>,
    compress_after: Option<Duration>,
    clock: Clock,
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
        self.room.close();
    }

    /// Events from before may go into a compressed chunk; `None` if none are compressed.
    fn compressed_before(&self) -> Option<DateTime<Utc>> {
        let age = chrono::TimeDelta::from_std(self.compress_after?).ok()?;
        self.clock.now().checked_sub_signed(age)
    }

    fn group_of(&mut self, first: Request) -> Vec<Request> {
        let compressed_before = self.compressed_before();
        let weight = |request: &Request| {
            let is_late =
                |draft: &Draft| compressed_before.is_some_and(|at| draft.occurred_at < at);
            match request.drafts.iter().any(is_late) {
                true => request.drafts.len() * LATE_WEIGHT,
                false => request.drafts.len(),
            }
        };
        let mut weights = weight(&first);
        let mut events = first.drafts.len();
        let mut bytes = first.place.bytes();
        let mut group = vec![first];
        while weights < GROUP_EVENTS_MAX && bytes < GROUP_BYTES_MAX {
            // Not `recv`, which lets the runtime cut a group off after 128 requests.
            let Ok(next) = self.receiver.try_recv() else {
                break;
            };
            weights += weight(&next);
            events += next.drafts.len();
            bytes += next.place.bytes();
            group.push(next);
        }
        self.waiting.leave(events, bytes);
        for request in &mut group {
            request.place.leave();
        }
        group
    }
}

/// What drafts and their rows hold in memory.
fn bytes_of(drafts: &[Draft]) -> usize {
    let held = drafts
        .iter()
        .map(|draft| draft.held_bytes() + Rows::length_of(draft));
    held.sum()
}
