pub(crate) mod appending;
mod reading;
mod tasks;

use std::{fmt, sync::Arc};

use atlas_events::Acceptance;
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use self::tasks::Tasks;
use crate::{
    Head, LogConfig, LogError, Projection, Renewed, Trimmed,
    database::{
        self,
        connections::{self, Readers},
    },
    head::{self, TWIN_MARGIN, segments::SegmentIndex, shared::SharedHead},
    history::{self, History, Mark, Server},
    live::{
        feeder::{Feeder, InFlight, Transfers},
        ring::Ring,
    },
    read::{latest::LatestTimes, read_ahead},
    storage::{Edition, Storage, retention},
    telemetry::{LogMetrics, Query},
    types::{KnownTypes, payloads::Judge},
    write::{
        groups::{appender::Appender, group::Acknowledger, thread::StorageThread, writer::Writer},
        queue::AppendQueue,
        sequencing::in_transaction::CallersSequencer,
    },
};

/// Groups that may wait for the ring; what comes on top of them reaches it through the database.
const COMMITS_QUEUED_MAX: usize = 16;
/// What is done beside the log is given up after so long, and done again later: each of its
/// statements takes a minute at the most.
pub(crate) const UPKEEP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(600);

/// A handle on an event log; clones are the same log.
///
/// Positions are 1, 2, 3, … in commit order, whatever number of processes append. An event is
/// durable before its append is acknowledged.
#[derive(Clone)]
pub struct EventLog(Arc<Inner>);

struct Inner {
    pool: PgPool,
    config: LogConfig,
    log_id: Uuid,
    edition: String,
    channel: String,
    queue: AppendQueue,
    transfers: Transfers,
    callers_sequencer: CallersSequencer,
    ring: Arc<Ring>,
    segments: Arc<SegmentIndex>,
    readers: Readers,
    history: Arc<History>,
    read_ahead: Arc<Semaphore>,
    latest: LatestTimes,
    types: Arc<KnownTypes>,
    shared_head: SharedHead,
    projection: Option<Arc<dyn Projection>>,
    metrics: Arc<LogMetrics>,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Drop for Inner {
    /// With the last handle gone nobody can close the log; its tasks end all the same.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("log_id", &self.0.log_id)
            .finish_non_exhaustive()
    }
}

impl EventLog {
    /// Opens the log in the schema that `pool` connects to ([`crate::connect`]), brings its tables
    /// to this version, and starts its tasks: the appender, the feeder of the ring, and retention.
    ///
    /// # Errors
    /// [`LogError::Migration`] or [`LogError::Database`].
    pub async fn open(
        pool: PgPool,
        config: LogConfig,
        projection: Option<Arc<dyn Projection>>,
    ) -> Result<Self, LogError> {
        let edition = Edition::read(&pool).await?;
        database::migrate(&pool).await?;
        let head = head::read(&pool).await?;
        let metrics = LogMetrics::new(&database::schema(&pool).await?);
        let storage = Storage {
            pool: pool.clone(),
            edition: edition.clone(),
            compress_after: config.compress_after,
            metrics: Arc::clone(&metrics),
        };
        let is_set_up = storage.set_up().await;
        metrics.saw_head(Some(&head));
        let channel = format!("event_log_{}", head.log_id.simple());
        let compress_after = config.compress_after.filter(|_| edition.compresses());
        let (queue, requests) = AppendQueue::new(&config, compress_after, Arc::clone(&metrics));
        let (commits, committed) = mpsc::channel(COMMITS_QUEUED_MAX);
        let in_flight = Arc::new(InFlight::default());
        let history = History::new(&head, Arc::clone(&metrics));
        history.saw_server(Server::read(&pool).await?);
        let transfers = Transfers::new(Arc::clone(&in_flight), commits, Arc::clone(&history));
        let segments = Arc::new(SegmentIndex::default());
        let ring = Arc::new(Ring::new(head.last_position, config.ring_bytes_max));
        let appender = Appender {
            requests,
            log_id: head.log_id,
            writer: Writer::new(
                pool.connect_options().as_ref().clone(),
                channel.clone(),
                projection.clone(),
                (Arc::clone(&history), Arc::clone(&segments)),
                Arc::clone(&metrics),
            ),
            thread: storage_thread(),
            acknowledger: Acknowledger {
                transfers: transfers.clone(),
                metrics: Arc::clone(&metrics),
            },
        };
        let feeder = Feeder {
            pool: connections::of_feeder(pool.connect_options().as_ref().clone()),
            channel: channel.clone(),
            ring: Arc::clone(&ring),
            segments: Arc::clone(&segments),
            in_flight,
            poll_interval: config.poll_interval,
            commits: committed,
            announced: head.last_position,
            tail: Mark::of_head(&head),
            history: Arc::clone(&history),
            rule: config.on_history_change,
            server_read_at: Some(Instant::now()),
            metrics: Arc::clone(&metrics),
        };
        let readers = Readers::of(pool.clone());
        let types = Arc::new(KnownTypes::default());
        types.refresh(&pool).await?;
        let log = Self(Arc::new(Inner {
            read_ahead: read_ahead::places(readers.places_max()),
            readers,
            latest: LatestTimes::default(),
            types,
            shared_head: SharedHead::default(),
            pool,
            config,
            log_id: head.log_id,
            edition: edition.to_string(),
            channel,
            queue,
            transfers,
            callers_sequencer: CallersSequencer::default(),
            ring,
            segments,
            history,
            projection,
            metrics,
            stop: CancellationToken::new(),
            tasks: Tasks::default(),
        }));
        log.start(appender, feeder);
        log.watch(storage, is_set_up);
        Ok(log)
    }

    fn start(&self, appender: Appender, feeder: Feeder) {
        let stop = &self.0.stop;
        let tasks = &self.0.tasks;
        tasks.spawn("appender", appender.run(stop.clone()));
        let contact = history::watch_contact(
            Arc::clone(&self.0.history),
            feeder.pool.clone(),
            self.0.config.contact_age_max,
        );
        tasks.spawn("feeder", feeder.run(stop.clone()));
        let until = stop.clone();
        tasks.spawn("contact watch", async move {
            until.run_until_cancelled(contact).await;
        });
        let types = Arc::clone(&self.0.types).follow(self.0.pool.clone());
        let until = stop.clone();
        tasks.spawn("types", async move {
            until.run_until_cancelled(types).await;
        });
        if let Some(retention) = self.0.config.retention {
            // The task holds the pool and not the log, which would then never be dropped.
            let (pool, config) = (self.0.pool.clone(), self.0.config.clone());
            let (stop, metrics) = (stop.clone(), self.metrics());
            let run = async move {
                let mut timer = tokio::time::interval(config.retention_interval);
                loop {
                    timer.tick().await;
                    let now = config.clock.now();
                    let trimming = retention::trim(&pool, now - as_delta(retention));
                    let trimmed = database::within(UPKEEP_TIMEOUT, trimming).await;
                    metrics.trimmed(trimmed.as_ref().ok().map(|trimmed| trimmed.chunks), now);
                    if let Err(error) = trimmed {
                        warn!(%error, "retention could not run; trying again later");
                    }
                }
            };
            tasks.spawn("retention", async move {
                stop.run_until_cancelled(run).await;
            });
        }
    }

    fn watch(&self, storage: Storage, is_set_up: bool) {
        let stop = self.0.stop.clone();
        self.0.tasks.spawn("storage", async move {
            stop.run_until_cancelled(storage.watch(is_set_up)).await;
        });
    }

    /// Ends the log's tasks once everything queued has been stored and answered. Followers end with
    /// [`LogError::Closed`].
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.ended().await;
    }

    pub(crate) async fn closing(&self) {
        self.0.stop.cancelled().await;
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.0.readers
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    pub(crate) fn known_types(&self) -> &KnownTypes {
        &self.0.types
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.0.ring
    }

    pub(crate) fn history(&self) -> &History {
        &self.0.history
    }

    pub(crate) fn segments(&self) -> &SegmentIndex {
        &self.0.segments
    }

    pub(crate) fn read_ahead_places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.read_ahead)
    }

    pub(crate) fn metrics(&self) -> Arc<LogMetrics> {
        Arc::clone(&self.0.metrics)
    }

    /// Updates the gauges of what waits and of what is in memory.
    /// To be called before metrics are read.
    pub fn sample(&self) {
        let metrics = &self.0.metrics;
        let (waiting_events, waiting_bytes) = self.0.queue.waiting();
        metrics.queue_events.set(waiting_events as f64);
        metrics.queue_bytes.set(waiting_bytes as f64);
        let (ring_events, ring_bytes) = self.0.ring.held();
        metrics.ring_events.set(ring_events as f64);
        metrics.ring_bytes.set(ring_bytes as f64);
        metrics.tail_position.set(self.tail_position() as f64);
        let pool = &self.0.pool;
        let idle = pool.num_idle();
        metrics.pool_idle.set(idle as f64);
        let open = usize::try_from(pool.size()).unwrap_or(usize::MAX);
        metrics.pool_used.set(open.saturating_sub(idle) as f64);
        metrics
            .pool_max
            .set(f64::from(pool.options().get_max_connections()));
    }

    /// Identity of the log; cursors belong to it.
    pub fn log_id(&self) -> Uuid {
        self.0.log_id
    }

    /// Version and licence of TimescaleDB, such as `2.19.3 apache`.
    pub fn edition(&self) -> &str {
        &self.0.edition
    }

    /// Where the log stands, read from the database and compared with what this process knows.
    ///
    /// # Errors
    /// [`LogError::Unverified`] if the log went back or was replaced, or [`LogError::Database`].
    pub async fn head(&self) -> Result<Head, LogError> {
        let history = &self.0.history;
        let before = history.mark();
        let mut connection = self.0.pool.acquire().await?;
        let reading = async {
            let head = head::read(&mut *connection).await?;
            let view = head.view();
            let verifying = history.verify(&mut connection, &self.0.segments, before, view);
            verifying.await?;
            Ok(head)
        };
        self.0.metrics.timed(Query::Head, reading).await
    }

    /// The last position, if this process has heard of its database within the last seconds and
    /// vouches for the log.
    pub fn verified_head(&self) -> Option<u64> {
        self.0
            .history
            .is_fresh()
            .then(|| self.0.history.mark().position)
    }

    /// Whether events may be read and appended, as far as is known without asking the database.
    ///
    /// # Errors
    /// [`LogError::Unverified`].
    pub fn verified(&self) -> Result<(), LogError> {
        self.0.history.check()?;
        self.0.history.check_append()
    }

    /// Resolves once the log was given a new identity: it is to be opened again.
    pub async fn replaced(&self) -> Uuid {
        self.0.history.replaced().await
    }

    /// The last position that has reached this process, without asking the database.
    pub fn tail_position(&self) -> u64 {
        self.0.ring.tail()
    }

    /// Gives the log of a schema a new identity, after it was restored to a state from which events
    /// are missing that readers may have seen: their positions will be given again, to other events.
    /// Cursors of the log are refused from then on, so that nobody resumes where it means something
    /// else. Processes that have it open notice within their poll interval and have to open it again
    /// ([`EventLog::replaced`]); a log that was halted is no longer.
    ///
    /// # Errors
    /// [`LogError::Migration`] or [`LogError::Database`].
    pub async fn renew_identity(pool: &PgPool) -> Result<Renewed, LogError> {
        database::migrate(pool).await?;
        head::renew(pool).await
    }

    /// What an event is judged by that is published now.
    pub fn acceptance(&self) -> Acceptance {
        let now = self.0.config.clock.now();
        let earliest = self
            .0
            .config
            .retention
            .map_or(DateTime::UNIX_EPOCH, |retention| now - as_delta(retention));
        let types = Judge {
            known: self.types(),
            keeps_unregistered: self.0.config.keep_unregistered_types,
        };
        Acceptance {
            types: Some(Arc::new(types)),
            ..Acceptance::new(now, earliest)
        }
    }

    /// Applies retention now.
    ///
    /// # Errors
    /// [`LogError::Database`], among others if a reader held a chunk's lock for too long; nothing
    /// was removed then.
    pub async fn trim(&self) -> Result<Trimmed, LogError> {
        match self.0.config.retention {
            Some(retention) => {
                let cutoff = self.0.config.clock.now() - as_delta(retention);
                retention::trim(&self.0.pool, cutoff).await
            }
            None => Ok(Trimmed {
                chunks: 0,
                first_position: self.head().await?.first_position,
            }),
        }
    }

    /// The oldest `occurred_at` that an event may have now.
    pub fn earliest_accepted(&self, head: &Head) -> DateTime<Utc> {
        let distinct = head.dropped_before.map(|dropped| dropped + TWIN_MARGIN);
        self.acceptance()
            .earliest
            .max(distinct.unwrap_or(DateTime::UNIX_EPOCH))
    }
}

fn storage_thread() -> Option<Arc<StorageThread>> {
    StorageThread::start()
        .inspect_err(
            |error| warn!(%error, "large groups are stored more slowly: no thread for them"),
        )
        .ok()
        .map(Arc::new)
}

/// A duration too long for the calendar keeps everything that could ever be stored.
fn as_delta(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration)
        .unwrap_or(TimeDelta::days(365 * 1_000))
        .min(TimeDelta::days(365 * 1_000))
}
