//! A collector with a stand-in for FRED, an engine that follows it, an alert service, and some of everything that
//! they may meet: publishers, subscribers, refusals, an event that cannot be processed.

use std::time::{SystemTime, UNIX_EPOCH};

use atlas_events::{
    DataPoint, Event, PublishRequest, SeriesCollectedEvent, SubscriptionRequest, TimeRangeRequest,
    event::Payload, event_publisher_client::EventPublisherClient,
    event_stream_client::EventStreamClient,
};
use event_log::{EventLog, LogConfig};
use fred_stand_in::{StandIn, StandInHandle};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row};
use test_support::{TestDatabase, draft, eventually, series_event};
use tokio::{net::TcpListener, sync::Mutex};
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

use crate::{DEADLINE, alerting::Alerting, guarded::Guarded, process::Service, repository};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const READER_PASSWORD: &str = "for-tests-only";

pub(crate) struct Load {
    collector: Service,
    /// A second one on the same log, which asks who its clients are.
    guarded: Guarded,
    engine: Service,
    alerts: Alerting,
    reader: Mutex<PgConnection>,
    publisher: EventPublisherClient<Channel>,
    _followers: Vec<AbortOnDropHandle<()>>,
    _fred: StandInHandle,
    _database: TestDatabase,
}

impl Load {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::create().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fred = StandIn::builder()
            .series(["UNRATE", "VIXCLS"])
            .start(listener)
            .unwrap();
        let collector = start_collector(&database, fred.base_url());
        let guarded = Guarded::start(&database.url());
        let engine = start_engine(&database, &collector.grpc);
        let alerts = Alerting::start(&database.url(), &engine.grpc).await;
        make_reader(&database).await;
        let followers = vec![
            follow(&collector.grpc, "Shop").await,
            follow(&engine.grpc, "Pager").await,
        ];
        let load = Self {
            publisher: EventPublisherClient::connect(collector.grpc.clone())
                .await
                .unwrap(),
            reader: Mutex::new(connect_as_reader(&database).await),
            collector,
            guarded,
            engine,
            alerts,
            _followers: followers,
            _fred: fred,
            _database: database,
        };
        load.collected().await;
        load.park_one().await;
        load
    }

    /// Collectors, the engine, and the alert service.
    pub(crate) fn targets(&self) -> [Vec<String>; 3] {
        let collectors = [&self.collector.rest, self.guarded.rest()];
        [
            collectors.map(Clone::clone).to_vec(),
            vec![self.engine.rest.clone()],
            vec![self.alerts.rest().to_owned()],
        ]
    }

    /// Waits for the first values from FRED: the metrics of a source exist from then on.
    async fn collected(&self) {
        let sql = "select 1 from collector.observations";
        eventually(DEADLINE, async || self.rows(sql).await > 1_000).await;
    }

    /// An event that no publisher could have stored, but a log may have been made by a newer
    /// contract.
    async fn park_one(&self) {
        let mut broken = draft(series_event(1, "VIXCLS", "2001-01-01", "1"));
        broken.encoded = prost::Message::encode_to_vec(&Event {
            event_id: broken.event_id.to_string(),
            occurred_at: Some(broken.occurred_at.into()),
            source_service: "test".to_owned(),
            payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
                series_id: "VIXCLS".to_owned(),
                data_points: vec![DataPoint {
                    date: "2001-01-01".to_owned(),
                    value: Some("a lot".to_owned()),
                    ..DataPoint::default()
                }],
                collected_at: None,
                release_part: None,
            })),
            ..Event::default()
        })
        .into();
        let pool: PgPool = event_log::connect(&self._database.url(), "collector", 2)
            .await
            .unwrap();
        let log = EventLog::open(pool.clone(), LogConfig::default(), None);
        let log = log.await.unwrap();
        log.append(vec![broken]).await.unwrap();
        log.close().await;
        pool.close().await;
    }

    /// One of everything: a crossing and back, a refusal of each kind, reads, REST, a collection, and
    /// clients that are not let in.
    pub(crate) async fn once(&self) {
        // A date of its own each time, in the past, so that patterns turn again and again.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let n = since.as_millis() as u64;
        let day = |ahead: u64| {
            let days = 5_000 + (n / 100 + ahead) % 15_000;
            let date = chrono::DateTime::from_timestamp(days as i64 * 86_400, 0).unwrap();
            date.date_naive().to_string()
        };
        let mut publisher = self.publisher.clone();
        for (ahead, value) in [(0, "12.5"), (1, "38.57")] {
            let mut event = series_event(n + ahead, "VIXCLS", &day(ahead), value);
            event.event_id.clear();
            event.occurred_at = None;
            let events = vec![event];
            publisher
                .publish(PublishRequest {
                    events,
                    ..PublishRequest::default()
                })
                .await
                .unwrap();
        }
        let nothing = PublishRequest::default();
        publisher.publish(nothing).await.unwrap_err();
        let mut stream = EventStreamClient::connect(self.collector.grpc.clone())
            .await
            .unwrap();
        let beyond = SubscriptionRequest {
            after_position: Some(u64::MAX / 4),
            ..SubscriptionRequest::default()
        };
        stream.subscribe_to_events(beyond).await.unwrap_err();
        let since = TimeRangeRequest {
            start_from: Some(chrono::Utc::now().into()),
            ..TimeRangeRequest::default()
        };
        let mut range = stream.get_events_since(since).await.unwrap().into_inner();
        while range.message().await.unwrap().is_some() {}
        let client = reqwest::Client::new();
        for rest in [&self.collector.rest, &self.engine.rest] {
            let nowhere = client.get(format!("http://{rest}/v1/nowhere")).send();
            assert_eq!(nowhere.await.unwrap().status(), 404);
        }
        let collect = format!("http://{}/v1/series/UNRATE/collect", self.collector.rest);
        client.post(collect).send().await.unwrap();
        self.guarded.turn_away(&client).await;
        self.alerts.once(&client, n).await;
    }

    /// How many rows the reader of the dashboards is given.
    pub(crate) async fn rows(&self, sql: &str) -> i64 {
        let mut reader = self.reader.lock().await;
        let count = format!("select count(*) from ({sql}) answer");
        let row = sqlx::query(AssertSqlSafe(count)).fetch_one(&mut *reader);
        match row.await {
            Ok(row) => row.get(0),
            Err(error) => panic!("{error} in {sql}"),
        }
    }

    pub(crate) async fn stop(self) {
        self.reader.into_inner().close().await.unwrap();
    }
}

fn start_collector(database: &TestDatabase, fred_url: &str) -> Service {
    let settings = [
        format!("database.url={}", database.url()),
        "rest.address=127.0.0.1:0".to_owned(),
        "grpc.address=127.0.0.1:0".to_owned(),
        format!("fred.api_key={KEY}"),
        format!("fred.base_url={fred_url}/fred"),
        "fred.series=UNRATE,VIXCLS".to_owned(),
        "fred.backfill=2005-01-01".to_owned(),
    ];
    Service::start("collector", &settings)
}

fn start_engine(database: &TestDatabase, source: &str) -> Service {
    let patterns = repository("threshold-engine/patterns");
    let settings = [
        format!("database.url={}", database.url()),
        "rest.address=127.0.0.1:0".to_owned(),
        "grpc.address=127.0.0.1:0".to_owned(),
        format!("consumer.sources=collector={source}"),
        format!("patterns.folder={}", patterns.display()),
    ];
    Service::start("engine", &settings)
}

/// Follows a log under a name, for as long as the test runs.
async fn follow(url: &str, name: &str) -> AbortOnDropHandle<()> {
    let mut client = EventStreamClient::connect(url.to_owned()).await.unwrap();
    let request = SubscriptionRequest {
        after_position: Some(0),
        consumer: name.to_owned(),
        ..SubscriptionRequest::default()
    };
    let stream = client.subscribe_to_events(request).await.unwrap();
    let mut stream = stream.into_inner();
    AbortOnDropHandle::new(tokio::spawn(async move {
        while stream.message().await.unwrap_or_default().is_some() {}
    }))
}

/// Makes the role of the dashboards as an operator does.
async fn make_reader(database: &TestDatabase) {
    let sql = std::fs::read_to_string(repository("grafana/reader.sql")).unwrap();
    let mut owner = database.connection().await;
    let password = format!("set atlas.reader_password = '{READER_PASSWORD}'");
    for statement in [password, sql] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut owner)
            .await
            .unwrap();
    }
}

async fn connect_as_reader(database: &TestDatabase) -> PgConnection {
    use sqlx::postgres::PgConnectOptions;
    let options: PgConnectOptions = database.url().parse().unwrap();
    let options = options.username("atlas_reader").password(READER_PASSWORD);
    PgConnection::connect_with(&options).await.unwrap()
}
