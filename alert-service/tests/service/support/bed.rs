//! A log to consume, and alert services over one database.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alert_service::{
    Context, SERVICE,
    config::{CommonFlags, Flags, load},
    service::{Listeners, Metrics, Service, Source, keep_metrics},
};
use atlas_events::{
    Clock, CrossingDirection, DataPoint, Event, RegimeTransitionEvent, SeriesCollectedEvent,
    ThresholdCrossedEvent, Timestamp, event::Payload,
};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogConfig};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use test_support::{Folder, TestDatabase, draft, eventually};
use tokio::sync::OnceCell;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use ulid::Ulid;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const SCHEMA: &str = "alerts";
const ENGINE: &str = "threshold-engine";
const COLLECTOR: &str = "collector";
const CONNECTIONS_MAX: u32 = 6;

pub(crate) struct Bed {
    pub(crate) database: TestDatabase,
    /// The log of the engine.
    pub(crate) log: EventLog,
    /// The log of the collector.
    pub(crate) collected: EventLog,
    folder: Folder,
    /// Added to the clock of the machine.
    offset: Arc<Mutex<TimeDelta>>,
    drawn: Arc<AtomicU64>,
    settings: Vec<String>,
    pool: OnceCell<PgPool>,
    /// Making one reads all certificates of the machine.
    client: Client,
}

/// A service that runs. Dropping it kills it.
pub(crate) struct Running {
    client: Client,
    url: String,
    grpc_url: String,
    shutdown: CancellationToken,
    running: AbortOnDropHandle<()>,
}

impl Bed {
    pub(crate) async fn create(settings: &[&str]) -> Self {
        // As services do; an error says that one of them has.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::create().await;
        let log = open_log(&database, "engine").await;
        let collected = open_log(&database, "collector").await;
        let folder = Folder::create();
        std::fs::write(folder.file("key"), [7; 32]).unwrap();
        Self {
            database,
            log,
            collected,
            folder,
            offset: Arc::default(),
            drawn: Arc::default(),
            settings: settings.iter().map(|text| (*text).to_owned()).collect(),
            pool: OnceCell::new(),
            client: Client::new(),
        }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        self.folder.write(name, text)
    }

    pub(crate) fn move_clock(&self, by: TimeDelta) {
        *self.offset.lock().unwrap() += by;
    }

    fn context(&self) -> Context {
        let (offset, drawn) = (Arc::clone(&self.offset), Arc::clone(&self.drawn));
        let clock = Clock::from_fn(move || Utc::now() + *offset.lock().unwrap());
        // All different, and drawn from all of any bound.
        let random = move || {
            let drawn = drawn.fetch_add(1, Ordering::Relaxed);
            u128::from(drawn) << 40 | u128::from(drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24)
        };
        Context::new(clock, random)
    }

    /// Those of all services of the test.
    pub(crate) fn settings(&self) -> Vec<String> {
        let mut set = vec![
            format!("database.url={}", self.database.url()),
            format!("database.schema={SCHEMA}"),
            format!("database.connections_max={CONNECTIONS_MAX}"),
            "rest.address=127.0.0.1:0".to_owned(),
            "grpc.address=127.0.0.1:0".to_owned(),
            "events.poll_interval_milliseconds=100".to_owned(),
            "channels.http_allowed=true".to_owned(),
            "channels.allowed_prefixes=127.0.0.0/8".to_owned(),
            format!("channels.key_files={}", self.folder.file("key")),
            "deliveries.poll_interval_milliseconds=20".to_owned(),
            "shutdown.drain_seconds=5".to_owned(),
        ];
        set.extend(self.settings.iter().cloned());
        set
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(&[]).await
    }

    pub(crate) async fn start_with(&self, more: &[String]) -> Running {
        let sources = vec![
            Source::in_process(ENGINE, self.log.clone()),
            Source::in_process(COLLECTOR, self.collected.clone()),
        ];
        self.start_following(more, Some(sources)).await
    }

    /// Without sources those of the settings are followed.
    pub(crate) async fn start_following(
        &self,
        more: &[String],
        sources: Option<Vec<Source>>,
    ) -> Running {
        let mut set = self.settings();
        set.extend(more.iter().cloned());
        let flags = Flags {
            common: CommonFlags::set(set),
            ..Flags::default()
        };
        let config = load(&flags, &[]).unwrap().config;
        let listeners = Listeners::bind(&config).await.unwrap();
        let sources = sources.unwrap_or_else(|| config.consumer.sources().unwrap());
        let service = Service::start(config, sources, listeners, metrics(), self.context())
            .await
            .unwrap();
        let url = format!("http://{}", service.rest_address());
        let grpc_url = format!("http://{}", service.grpc_address());
        let shutdown = CancellationToken::new();
        let ending = shutdown.clone();
        let running = tokio::spawn(async move { service.run(ending).await.unwrap() });
        let running = AbortOnDropHandle::new(running);
        Running {
            client: self.client.clone(),
            url,
            grpc_url,
            shutdown,
            running,
        }
    }

    /// A pool in the schema of the service.
    pub(crate) async fn pool(&self) -> PgPool {
        let connecting = async || {
            event_log::connect(&self.database.url(), SCHEMA, 2)
                .await
                .unwrap()
        };
        self.pool.get_or_init(connecting).await.clone()
    }

    /// Everything that the service has emitted.
    pub(crate) async fn emitted(&self) -> Vec<Event> {
        let pool = self.pool().await;
        let rows: Vec<(Vec<u8>,)> = sqlx::query_as("select encoded from events order by position")
            .fetch_all(&pool)
            .await
            .unwrap();
        let decode = |(encoded,): (Vec<u8>,)| prost::Message::decode(&*encoded).unwrap();
        rows.into_iter().map(decode).collect()
    }

    /// Publishes, and gives the id of the event.
    pub(crate) async fn publish(&self, payload: Payload) -> String {
        let now = Utc::now();
        let event = Event {
            event_id: Ulid::generate().to_string(),
            occurred_at: Some(Timestamp::from(now)),
            source_service: "ThresholdEngine".to_owned(),
            payload: Some(payload),
            ..Event::default()
        };
        let id = event.event_id.clone();
        self.log.append(vec![draft(event)]).await.unwrap();
        id
    }

    /// Publishes observations of a series, as dates and values, and gives the id of the event.
    pub(crate) async fn observe(&self, series: &str, points: &[(&str, Option<&str>)]) -> String {
        let data_points = points.iter().map(|(date, value)| DataPoint {
            date: (*date).to_owned(),
            value: value.map(str::to_owned),
            known_from: None,
        });
        let event = Event {
            event_id: Ulid::generate().to_string(),
            occurred_at: Some(Timestamp::from(Utc::now())),
            source_service: "Collector".to_owned(),
            payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
                series_id: series.to_owned(),
                data_points: data_points.collect(),
                ..SeriesCollectedEvent::default()
            })),
            ..Event::default()
        };
        let id = event.event_id.clone();
        self.collected.append(vec![draft(event)]).await.unwrap();
        id
    }

    /// Waits until all that is published is processed.
    pub(crate) async fn processed(&self) {
        self.processed_of(ENGINE, &self.log).await;
        self.processed_of(COLLECTOR, &self.collected).await;
    }

    async fn processed_of(&self, source: &str, log: &EventLog) {
        let last = log.head().await.unwrap().last_position.cast_signed();
        if last == 0 {
            return;
        }
        let pool = self.pool().await;
        eventually(DEADLINE, async || {
            let position: Result<Option<Option<i64>>, _> = sqlx::query_scalar(
                "select position from checkpoint where service = $1 and source = $2",
            )
            .bind(SERVICE)
            .bind(source)
            .fetch_optional(&pool)
            .await;
            position.ok().flatten().flatten() == Some(last)
        })
        .await;
    }
}

async fn open_log(database: &TestDatabase, schema: &str) -> EventLog {
    let pool = event_log::connect(&database.url(), schema, CONNECTIONS_MAX)
        .await
        .unwrap();
    let config = LogConfig {
        poll_interval: Duration::from_millis(100),
        ..LogConfig::default()
    };
    EventLog::open(pool, config, None).await.unwrap()
}

impl Running {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Where gRPC is served.
    pub(crate) fn grpc_url(&self) -> &str {
        &self.grpc_url
    }

    /// A request to a path, as it is.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// Asks as whoever has a token.
    pub(crate) async fn ask_as(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.request(method, path);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask_as(None, Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.ask_as(None, Method::POST, path, Some(body)).await;
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }

    /// Makes a webhook; gives its id.
    pub(crate) async fn webhook(&self, url: &str) -> String {
        let body = json!({"name": "hook", "configuration": {"kind": "webhook", "url": url}});
        let channel = self.post("/v1/channels", body).await;
        channel["id"].as_str().unwrap().to_owned()
    }

    /// Makes a rule for every pattern, with further fields; gives its id.
    pub(crate) async fn rule(&self, channel: &str, more: Value) -> String {
        let mut body =
            json!({"name": "all", "condition": {"kind": "pattern"}, "channels": [channel]});
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let rule = self.post("/v1/rules", body).await;
        rule["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn end(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }

    /// Ends it as a killed process ends: nothing is finished.
    pub(crate) async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }
}

pub(crate) fn crossing(pattern: &str, direction: CrossingDirection) -> ThresholdCrossedEvent {
    ThresholdCrossedEvent {
        pattern_id: pattern.to_owned(),
        pattern_name: format!("Name of {pattern}"),
        direction: direction.into(),
        severity: "warning".to_owned(),
        message: format!("Message of {pattern}."),
        value: Some("31.2".to_owned()),
        threshold: Some("30".to_owned()),
        observation_date: Utc::now().date_naive().to_string(),
        ..ThresholdCrossedEvent::default()
    }
}

pub(crate) fn entered(pattern: &str) -> Payload {
    Payload::ThresholdCrossed(crossing(pattern, CrossingDirection::Entered))
}

pub(crate) fn cleared(pattern: &str) -> Payload {
    Payload::ThresholdCrossed(crossing(pattern, CrossingDirection::Cleared))
}

pub(crate) fn transition(from: &str, to: &str) -> Payload {
    Payload::RegimeTransition(RegimeTransitionEvent {
        model_id: "economy".to_owned(),
        from_regime: from.to_owned(),
        to_regime: to.to_owned(),
        since: Utc::now().date_naive().to_string(),
        ..RegimeTransitionEvent::default()
    })
}

/// The recorder is the process's; the tests of one process share it.
fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| keep_metrics().unwrap()).clone()
}

/// The times of the machine, to compare with.
pub(crate) fn ago(at: &Value) -> TimeDelta {
    let at: DateTime<Utc> = at.as_str().unwrap().parse().unwrap();
    Utc::now() - at
}
