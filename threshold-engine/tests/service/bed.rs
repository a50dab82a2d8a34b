//! A log to consume, and the database of engines.

use std::{collections::BTreeMap, time::Duration};

use atlas_events::{
    DefinitionChangedEvent, DefinitionKind, Event, EventFilter, WantedEvents, event::Payload,
};
use consumer::Source;
use event_log::{EventLog, Followed, LogConfig};
use event_stream::{StreamConfig, serve};
use sqlx::PgPool;
use test_support::{TestDatabase, eventually};
use threshold_engine::{
    SERVICE,
    config::{CommonFlags, Config, Flags, load},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::scenario::Folder;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
pub(crate) const COLLECTED: &str = "collected";
pub(crate) const SOURCE: &str = "collector";
const CONNECTIONS_MAX: u32 = 4;

/// How a log is consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Grpc,
    InProcess,
}

/// A log `collected`, served over gRPC, and definitions.
pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    pub(crate) log: EventLog,
    pub(crate) url: String,
    pub(crate) folder: Folder,
}

/// Opens the log that is consumed, as each process that uses it does.
pub(crate) async fn open_log(database_url: &str, schema: &str) -> EventLog {
    let pool = event_log::connect(database_url, schema, CONNECTIONS_MAX)
        .await
        .unwrap();
    let config = LogConfig {
        poll_interval: Duration::from_millis(100),
        ..LogConfig::default()
    };
    EventLog::open(pool, config, None).await.unwrap()
}

impl Bed {
    pub(crate) async fn create(folder: Folder) -> Self {
        let database = TestDatabase::create().await;
        let log = open_log(&database.url(), COLLECTED).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = serve(
            listener,
            log.clone(),
            StreamConfig::default(),
            CancellationToken::new(),
        );
        tokio::spawn(serving);
        Self {
            database,
            log,
            url,
            folder,
        }
    }

    /// The configuration of an engine with its own schema, on free ports.
    pub(crate) fn config(&self, schema: &str) -> Config {
        let flags = Flags {
            common: CommonFlags::set(self.settings(schema)),
            ..Flags::default()
        };
        load(&flags, &[]).unwrap().config
    }

    /// The same, as arguments of `--set`.
    pub(crate) fn settings(&self, schema: &str) -> Vec<String> {
        vec![
            format!("database.url={}", self.database.url()),
            format!("database.schema={schema}"),
            format!("database.connections_max={CONNECTIONS_MAX}"),
            "rest.address=127.0.0.1:0".to_owned(),
            "grpc.address=127.0.0.1:0".to_owned(),
            "events.poll_interval_milliseconds=100".to_owned(),
            format!("consumer.sources={SOURCE}={}", self.url),
            "consumer.batch_events_max=50".to_owned(),
            "consumer.stopped_grace_seconds=3".to_owned(),
            format!("patterns.folder={}", self.folder.path().display()),
            "patterns.reload_interval_milliseconds=50".to_owned(),
            // So that starts begin with them.
            "snapshots.interval_milliseconds=100".to_owned(),
            "shutdown.drain_seconds=5".to_owned(),
        ]
    }

    pub(crate) fn source(&self, form: Form) -> Source {
        match form {
            Form::Grpc => Source::grpc(SOURCE, &self.url).unwrap(),
            Form::InProcess => Source::in_process(SOURCE, self.log.clone()),
        }
    }

    /// A pool in the schema of an engine.
    pub(crate) async fn pool(&self, schema: &str) -> PgPool {
        event_log::connect(&self.database.url(), schema, 2)
            .await
            .unwrap()
    }

    /// Waits until an engine has processed everything that the log holds.
    pub(crate) async fn caught_up(&self, pool: &PgPool) {
        let last = self.log.head().await.unwrap().last_position.cast_signed();
        eventually(DEADLINE, async || position(pool).await == Some(last)).await;
    }

    /// What the engine of a schema has emitted because of observations, numbered anew: what becomes of definitions is emitted
    /// when it happens, which no two engines have in common.
    pub(crate) async fn emissions(&self, schema: &str) -> Vec<Event> {
        let mut emissions = self.emitted(schema).await;
        emissions.retain(is_by_observation);
        for (position, event) in (1..).zip(&mut emissions) {
            event.position = position;
        }
        emissions
    }

    /// What became of each definition, in order, by edits of its file. Of a regime model without its states, which depend
    /// on which of several edited files an engine has read already.
    pub(crate) async fn edits(
        &self,
        schema: &str,
    ) -> BTreeMap<String, Vec<DefinitionChangedEvent>> {
        let mut edits: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for event in self.emitted(schema).await {
            let Some(Payload::DefinitionChanged(mut changed)) = event.payload else {
                continue;
            };
            if !changed.cause_event_id.is_empty() {
                continue;
            }
            if changed.kind() == DefinitionKind::Regime {
                (changed.before, changed.after) = (None, None);
            }
            edits
                .entry(changed.definition_id.clone())
                .or_default()
                .push(changed);
        }
        edits
    }

    /// Everything that the engine of a schema has emitted.
    pub(crate) async fn emitted(&self, schema: &str) -> Vec<Event> {
        let log = open_log(&self.database.url(), schema).await;
        let events = all_of(&log).await;
        log.close().await;
        events
    }
}

fn is_by_observation(event: &Event) -> bool {
    match event.payload.as_ref().unwrap() {
        Payload::DefinitionChanged(changed) => !changed.cause_event_id.is_empty(),
        Payload::RegimeTransition(transition) => transition.definition_event_id.is_empty(),
        _ => true,
    }
}

/// Every event of a log, without when it was stored.
pub(crate) async fn all_of(log: &EventLog) -> Vec<Event> {
    let everything = EventFilter::unrestricted(WantedEvents::default());
    let mut follower = log.follow_after(0, everything).await.unwrap();
    let mut events = Vec::new();
    loop {
        match follower.next().await.unwrap() {
            Followed::Events(delivery) => {
                events.extend(delivery.events().map(Result::unwrap).map(|event| Event {
                    recorded_at: None,
                    ..event
                }));
            }
            Followed::CaughtUp => return events,
            Followed::FellBehind => {}
        }
    }
}

/// Where the engine's checkpoint is.
pub(crate) async fn position(pool: &PgPool) -> Option<i64> {
    let position: Result<Option<Option<i64>>, _> =
        sqlx::query_scalar("select position from checkpoint where service = $1")
            .bind(SERVICE)
            .fetch_optional(pool)
            .await;
    // Before the engine has made its tables there is none, and while it is cut off neither.
    position.ok().flatten().flatten()
}

/// The recorder is the process's; the tests of one process share it.
pub(crate) fn metrics() -> threshold_engine::service::Metrics {
    static METRICS: std::sync::OnceLock<threshold_engine::service::Metrics> =
        std::sync::OnceLock::new();
    METRICS
        .get_or_init(|| threshold_engine::service::keep_metrics().unwrap())
        .clone()
}
