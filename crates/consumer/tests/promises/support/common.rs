//! A log to consume, in both forms, and a consumer of it with its own schema.

use std::{sync::Arc, time::Duration};

use atlas_events::Draft;
use consumer::{
    Backoff, Consumer, ConsumerAdmin, ConsumerConfig, ConsumerError, ConsumerStatus, Source,
};
use event_log::{EventLog, LogConfig};
use event_stream::{ServeError, StreamConfig, serve};
use sqlx::{PgConnection, PgPool};
use test_support::{TestDatabase, drafts, eventually, until_waiting};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::support::handler::{Faults, Recorder};

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
pub(crate) const SERVICE: &str = "ThresholdEngine";
const EFFECTS: &str = "effects";

/// How a log is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Grpc,
    InProcess,
}

/// A log, served over gRPC.
#[derive(Debug)]
pub(crate) struct ServedLog {
    pub(crate) log: EventLog,
    pub(crate) url: String,
    shutdown: CancellationToken,
    _serving: JoinHandle<Result<(), ServeError>>,
}

impl ServedLog {
    pub(crate) async fn start(database: &TestDatabase, schema: &str) -> Self {
        Self::start_with(database, schema, LogConfig::default()).await
    }

    pub(crate) async fn start_with(
        database: &TestDatabase,
        schema: &str,
        config: LogConfig,
    ) -> Self {
        let pool = event_log::connect(&database.url(), schema, 5)
            .await
            .unwrap();
        let log = EventLog::open(pool, config, None).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let config = StreamConfig::default();
        let serving = tokio::spawn(serve(listener, log.clone(), config, shutdown.clone()));
        Self {
            log,
            url,
            shutdown,
            _serving: serving,
        }
    }

    /// The log as a source of this name.
    pub(crate) fn source(&self, name: &str, form: Form) -> Source {
        match form {
            Form::Grpc => Source::grpc(name, &self.url).unwrap(),
            Form::InProcess => Source::in_process(name, self.log.clone()),
        }
    }

    /// Ends the server, and the log of this process.
    pub(crate) async fn stop(&self) {
        self.shutdown.cancel();
        self.log.close().await;
    }

    pub(crate) async fn append(&self, numbers: std::ops::Range<u64>) {
        append(&self.log, drafts(numbers)).await;
    }
}

/// Appends in batches of different sizes.
pub(crate) async fn append(log: &EventLog, mut drafts: Vec<Draft>) {
    let mut size = 1;
    while !drafts.is_empty() {
        let rest = drafts.split_off(size.min(drafts.len()));
        log.append(drafts).await.unwrap();
        drafts = rest;
        size = size % 37 + 1;
    }
}

/// A database with a log `collected` and a schema for effects.
pub(crate) struct Bench {
    pub(crate) database: TestDatabase,
    pub(crate) served: ServedLog,
    pub(crate) pool: PgPool,
    pub(crate) form: Form,
}

impl Bench {
    pub(crate) async fn create(form: Form) -> Self {
        let database = TestDatabase::create().await;
        let served = ServedLog::start(&database, "collected").await;
        let pool = event_log::connect(&database.url(), EFFECTS, 7)
            .await
            .unwrap();
        sqlx::raw_sql(
            "create table effects (
                 sequence bigint generated always as identity,
                 source text not null,
                 position bigint not null,
                 event_id text not null
             )",
        )
        .execute(&pool)
        .await
        .unwrap();
        Self {
            database,
            served,
            pool,
            form,
        }
    }

    pub(crate) fn source(&self) -> Source {
        self.served.source("collector", self.form)
    }

    /// A consumer of the log that is not running.
    pub(crate) async fn consumer(&self) -> Consumer {
        self.open(vec![self.source()]).await.unwrap()
    }

    pub(crate) async fn open(&self, sources: Vec<Source>) -> Result<Consumer, ConsumerError> {
        Consumer::open(self.pool.clone(), config(), sources).await
    }

    /// A pool for the effects by way of another address of the database.
    pub(crate) async fn pool_through(&self, url: &str) -> PgPool {
        event_log::connect(url, EFFECTS, 7).await.unwrap()
    }

    /// A running consumer of the log.
    pub(crate) async fn run(&self, faults: &Arc<Faults>) -> Run {
        Run::start(self.consumer().await, faults)
    }

    pub(crate) fn admin(&self) -> ConsumerAdmin {
        ConsumerAdmin::new(self.pool.clone(), SERVICE)
    }

    /// A superuser's connection that has the effects' schema in its search path.
    pub(crate) async fn sql(&self) -> PgConnection {
        let mut connection = self.database.connection().await;
        sqlx::raw_sql("set search_path = effects, public")
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }

    /// Positions in the order in which their effects were written.
    pub(crate) async fn effects(&self) -> Vec<u64> {
        let positions: Vec<i64> =
            sqlx::query_scalar("select position from effects order by sequence")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        positions.into_iter().map(i64::unsigned_abs).collect()
    }

    /// Waits until there are this many effects.
    pub(crate) async fn until_effects(&self, count: usize) {
        eventually(DEADLINE, async || {
            let found: i64 = sqlx::query_scalar("select count(*) from effects")
                .fetch_one(&self.pool)
                .await
                .unwrap();
            found as usize >= count
        })
        .await;
    }

    /// Waits until so many sessions wait for locks of others.
    pub(crate) async fn until_waiting(&self, sessions: usize) {
        until_waiting(DEADLINE, &mut self.sql().await, sessions).await;
    }

    /// Waits until the checkpoint is at a position.
    pub(crate) async fn until_position(&self, position: u64) {
        eventually(DEADLINE, async || {
            let checkpoints = self.admin().checkpoints().await.unwrap();
            checkpoints
                .iter()
                .any(|found| found.position == Some(position))
        })
        .await;
    }
}

/// Every position once, in order.
pub(crate) fn all(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

/// Impatient, and with batches small enough that there are many.
pub(crate) fn config() -> ConsumerConfig {
    ConsumerConfig {
        batch_events_max: 40,
        batch_wait: Duration::from_millis(1),
        heartbeat_interval: Duration::from_millis(100),
        poll_interval: Duration::from_millis(20),
        reconnect_backoff: Backoff::new(Duration::from_millis(5), Duration::from_millis(50)),
        retry_backoff: Backoff::new(Duration::from_millis(5), Duration::from_millis(50)),
        ..ConsumerConfig::new(SERVICE)
    }
}

/// A consumer that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) admin: ConsumerAdmin,
    pub(crate) status: ConsumerStatus,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), ConsumerError>>,
}

impl Run {
    pub(crate) fn start(consumer: Consumer, faults: &Arc<Faults>) -> Self {
        let (admin, status) = (consumer.admin(), consumer.status());
        let shutdown = CancellationToken::new();
        let handler = Recorder::new(Arc::clone(faults));
        let running = tokio::spawn(consumer.run(handler, shutdown.clone()));
        Self {
            admin,
            status,
            shutdown,
            running,
        }
    }

    /// Ends it in good order.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.ended().await.unwrap();
    }

    /// Ends it as a killed process ends: wherever it is.
    pub(crate) async fn kill(self) {
        self.running.abort();
        assert!(self.running.await.is_err_and(|error| error.is_cancelled()));
    }

    /// Waits for it to end by itself.
    pub(crate) async fn ended(self) -> Result<(), ConsumerError> {
        let ended = timeout(DEADLINE, self.running).await;
        ended.expect("it ends in time").expect("it does not panic")
    }
}
