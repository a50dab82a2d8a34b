//! Group commit: while one transaction commits, what arrives meanwhile gathers for the next. There
//! is no artificial delay, so a lone event waits for nobody, and under load a group grows.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use atlas_events::Draft;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions, raw_sql};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use trace_context::TraceContext;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::{
    LogConfig, LogError, Projection, Receipt,
    append::{self, Appended},
    batch::Batch,
    error::is_data_error,
    tail::{InFlight, LocalCommit},
    telemetry::LogMetrics,
    trace,
};

/// A group takes no further batch once it has this many events or bytes.
const GROUP_EVENTS_MAX: usize = 4_000;
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

struct Request {
    drafts: Vec<Draft>,
    /// The span that asked for it, if it is recorded.
    cause: Option<TraceContext>,
    reply: oneshot::Sender<Result<Vec<Receipt>, LogError>>,
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
        let (events, bytes) = (drafts.len(), bytes_of(&drafts));
        if !self.waiting.enter(events, bytes) {
            self.metrics.not_stored(&LogError::Overloaded);
            let _ = reply.send(Err(LogError::Overloaded));
        } else if let Err(refused) = self.requests.send(Request {
            drafts,
            cause: TraceContext::current(),
            reply,
        }) {
            self.waiting.leave(events, bytes);
            let _ = refused.0.reply.send(Err(LogError::Closed));
        }
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

/// The answer to a queued batch. Dropping it does not undo the append.
#[derive(Debug)]
pub struct PendingAppend {
    answer: oneshot::Receiver<Result<Vec<Receipt>, LogError>>,
}

impl PendingAppend {
    /// One receipt for each event, in order, once the batch is durable.
    ///
    /// # Errors
    /// [`LogError::OutcomeUnknown`] if the batch may or may not be stored; after any other error it
    /// is certainly not.
    pub async fn receipts(self) -> Result<Vec<Receipt>, LogError> {
        // The appender answers everything; unless its task was torn down, perhaps while committing.
        self.answer
            .await
            .unwrap_or(Err(LogError::OutcomeUnknown(sqlx::Error::WorkerCrashed)))
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
    pub(crate) options: PgConnectOptions,
    pub(crate) channel: String,
    pub(crate) projection: Option<Arc<dyn Projection>>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) commits: mpsc::Sender<LocalCommit>,
    pub(crate) metrics: Arc<LogMetrics>,
    /// Its own connection, so that appending never waits for a reader to return one.
    pub(crate) connection: Option<PgConnection>,
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
        let sizes: Vec<usize> = group.iter().map(|request| request.drafts.len()).collect();
        let mut drafts = Vec::with_capacity(sizes.iter().sum());
        let mut replies = Vec::with_capacity(group.len());
        let mut causes = Vec::new();
        for request in group {
            drafts.extend(request.drafts);
            replies.push(request.reply);
            causes.extend(request.cause);
        }
        let span = trace::group(self.log_id, drafts.len(), &causes);
        match self.commit(&drafts).instrument(span).await {
            Ok(mut receipts) => {
                for (reply, size) in replies.into_iter().zip(sizes) {
                    let rest = receipts.split_off(size);
                    let _ = reply.send(Ok(std::mem::replace(&mut receipts, rest)));
                }
            }
            Err(error) if replies.len() > 1 && blames_events(&error) => {
                self.store_one_by_one(drafts, sizes, replies).await;
            }
            Err(error) => {
                for reply in replies {
                    let _ = reply.send(Err(copy_of(&error)));
                }
            }
        }
    }

    /// One bad batch must not fail the others that happened to be in its group.
    async fn store_one_by_one(
        &mut self,
        mut drafts: Vec<Draft>,
        sizes: Vec<usize>,
        replies: Vec<oneshot::Sender<Result<Vec<Receipt>, LogError>>>,
    ) {
        for (reply, size) in replies.into_iter().zip(sizes) {
            let rest = drafts.split_off(size);
            let own = std::mem::replace(&mut drafts, rest);
            let _ = reply.send(self.commit(&own).await);
        }
    }

    /// Stores drafts in one transaction and hands them to the ring.
    async fn commit(&mut self, drafts: &[Draft]) -> Result<Vec<Receipt>, LogError> {
        let started = Instant::now();
        self.in_flight.begin();
        let stored = self.transact(drafts).await;
        let batches = stored.as_ref().map_or_else(
            |_| Vec::new(),
            |appended| {
                let fresh = appended.fresh.iter().map(|index| &drafts[*index]);
                Batch::of_appended(fresh, appended.first_position, appended.recorded_at)
            },
        );
        // A feeder that is busy reading the database will find these there.
        if self.commits.try_send(batches).is_err() {
            self.in_flight.end();
        }
        let appended = stored.inspect_err(|error| {
            trace_context::failed(&Span::current(), error);
            self.metrics.not_stored(error);
        })?;
        trace::appended(&Span::current(), appended.positions());
        self.metrics.append_seconds.record(started.elapsed());
        self.metrics.group_events.record(drafts.len() as f64);
        self.metrics.committed(&appended.receipts);
        if let Some(projection) = &self.projection {
            projection.committed(appended.fresh.len());
        }
        Ok(appended.receipts)
    }

    /// While a transaction is under way its connection is not in `self`: one that is left halfway,
    /// or whose state is unknown after an error, is closed and with it the transaction undone.
    async fn transact(&mut self, drafts: &[Draft]) -> Result<Appended, LogError> {
        let mut connection = self.begin().await?;
        let projection = self.projection.as_deref();
        let appended = append::append(&mut connection, drafts, &self.channel, projection).await?;
        let committing = Instant::now();
        raw_sql("commit")
            .execute(&mut connection)
            .instrument(trace_context::commit())
            .await
            .map_err(outcome_of_commit)?;
        self.metrics.commit_seconds.record(committing.elapsed());
        self.connection = Some(connection);
        Ok(appended)
    }

    async fn begin(&mut self) -> Result<PgConnection, LogError> {
        if let Some(mut connection) = self.connection.take()
            && raw_sql("begin").execute(&mut connection).await.is_ok()
        {
            return Ok(connection);
        }
        // The server closed the connection while it was idle, or there is none yet.
        let mut connection = PgConnection::connect_with(&self.options).await?;
        raw_sql("begin").execute(&mut connection).await?;
        Ok(connection)
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

/// A commit is known to be undone only if the server says that it failed for the transaction's own
/// sake (SQLSTATE classes 22, 23, 25, 40). A server that is being stopped (class 57) may end a
/// connection after the commit, and one that does not answer may have committed.
pub(crate) fn outcome_of_commit(error: sqlx::Error) -> LogError {
    let code = error
        .as_database_error()
        .and_then(|e| e.code())
        .unwrap_or_default();
    if ["22", "23", "25", "40"]
        .iter()
        .any(|class| code.starts_with(class))
    {
        LogError::Database(error)
    } else {
        LogError::OutcomeUnknown(error)
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
