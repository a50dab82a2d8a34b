//! Servers and clients under test.

use std::{ops::Range, time::Duration};

use atlas_events::{
    CustomEvent, Event, GetLogInfoRequest, GetLogInfoResponse, PublishReceipt, PublishRequest,
    PublishStreamResponse, SubscriptionRequest, event::Payload, event_log_client::EventLogClient,
    event_publisher_client::EventPublisherClient, event_stream_client::EventStreamClient,
    publish_stream_response::Outcome,
};
use event_log::{EventLog, LogConfig};
use event_stream::{ServeError, StreamConfig, serve};
use pbjson_types::{Struct, Value};
use sqlx::PgConnection;
use test_support::{TestDatabase, custom_event};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// The shortest heartbeat interval that the contract allows.
pub(crate) const OFTEN: Duration = Duration::from_millis(100);
const SCHEMA: &str = "log";

/// One process of a service, so to say: a handle on the log of a database, served on a port.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) log: EventLog,
    pub(crate) url: String,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub(crate) async fn start(database: &TestDatabase) -> Self {
        Self::start_with(database, LogConfig::default(), StreamConfig::default()).await
    }

    /// Starts a server that asks the database for nothing by itself but new events.
    pub(crate) async fn start_without_retention(database: &TestDatabase) -> Self {
        let log_config = LogConfig {
            retention: None,
            ..LogConfig::default()
        };
        Self::start_with(database, log_config, StreamConfig::default()).await
    }

    pub(crate) async fn start_with(
        database: &TestDatabase,
        log_config: LogConfig,
        config: StreamConfig,
    ) -> Self {
        let pool = event_log::connect(&database.url(), SCHEMA, 10)
            .await
            .unwrap();
        let log = EventLog::open(pool, log_config, None).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, log.clone(), config, shutdown.clone()));
        Self {
            log,
            url,
            shutdown,
            serving,
        }
    }

    /// Clients on a connection of their own, with the settings that the library has by itself.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(Endpoint::from_shared(self.url.clone()).unwrap()).await
    }

    pub(crate) fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits for `serve` to return after [`Server::begin_shutdown`].
    pub(crate) async fn stopped(self) {
        timeout(DEADLINE, self.serving)
            .await
            .expect("serving ends once its streams have ended")
            .unwrap()
            .unwrap();
    }

    pub(crate) async fn stop(self) {
        self.begin_shutdown();
        self.stopped().await;
    }
}

/// The clients of all services, on one connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) events: EventStreamClient<Channel>,
    pub(crate) publisher: EventPublisherClient<Channel>,
    pub(crate) log: EventLogClient<Channel>,
}

impl Client {
    pub(crate) async fn connect(endpoint: Endpoint) -> Self {
        let channel = endpoint.connect().await.unwrap();
        Self {
            events: EventStreamClient::new(channel.clone()),
            publisher: EventPublisherClient::new(channel.clone()),
            log: EventLogClient::new(channel),
        }
    }

    /// Publishes a batch and returns its events as readers are to see them.
    pub(crate) async fn publish(&mut self, events: Vec<Event>) -> Vec<Event> {
        let receipts = self.try_publish(events.clone()).await.unwrap();
        stored(events, &receipts)
    }

    /// Publishes so many thousands of events, as [`Client::publish`].
    pub(crate) async fn publish_thousands(&mut self, thousands: u64) -> Vec<Event> {
        let mut published = Vec::new();
        for n in 0..thousands {
            let batch = custom_events(n * 1_000..(n + 1) * 1_000);
            published.extend(self.publish(batch).await);
        }
        published
    }

    /// Publishes so many events that no client takes all of them without reading: 6 MB.
    pub(crate) async fn publish_megabytes(&mut self) -> Vec<Event> {
        let mut published = Vec::new();
        for n in 0..6 {
            let batch = (n * 10..(n + 1) * 10).map(|n| large_event(n, 100_000));
            published.extend(self.publish(batch.collect()).await);
        }
        published
    }

    pub(crate) async fn try_publish(
        &mut self,
        events: Vec<Event>,
    ) -> Result<Vec<PublishReceipt>, Status> {
        let answer = self.publisher.publish(PublishRequest {
            events,
            ..PublishRequest::default()
        });
        let answer = timeout(DEADLINE, answer).await.unwrap()?;
        Ok(answer.into_inner().receipts)
    }

    pub(crate) async fn subscribe(&mut self, request: SubscriptionRequest) -> Streaming<Event> {
        self.try_subscribe(request).await.unwrap()
    }

    pub(crate) async fn try_subscribe(
        &mut self,
        request: SubscriptionRequest,
    ) -> Result<Streaming<Event>, Status> {
        let answer = self.events.subscribe_to_events(request);
        Ok(timeout(DEADLINE, answer).await.unwrap()?.into_inner())
    }

    pub(crate) async fn info(&mut self) -> GetLogInfoResponse {
        let answer = self.log.get_log_info(GetLogInfoRequest {}).await;
        answer.unwrap().into_inner()
    }
}

/// Published events as readers are to see them.
pub(crate) fn stored(events: Vec<Event>, receipts: &[PublishReceipt]) -> Vec<Event> {
    assert_eq!(events.len(), receipts.len());
    let complete = |(event, receipt): (Event, &PublishReceipt)| Event {
        event_id: receipt.event_id.clone(),
        position: receipt.position,
        recorded_at: receipt.recorded_at,
        ..event
    };
    events.into_iter().zip(receipts).map(complete).collect()
}

pub(crate) fn custom_events(numbers: Range<u64>) -> Vec<Event> {
    numbers.map(custom_event).collect()
}

/// A custom event of about so many bytes.
pub(crate) fn large_event(n: u64, bytes: usize) -> Event {
    let fields = [("text".to_owned(), Value::from("x".repeat(bytes)))];
    let custom = CustomEvent {
        r#type: "Test".to_owned(),
        data: Some(Struct {
            fields: fields.into(),
        }),
    };
    Event {
        payload: Some(Payload::Custom(custom)),
        ..custom_event(n)
    }
}

/// A subscription that resumes after a position.
pub(crate) fn after(position: u64) -> SubscriptionRequest {
    SubscriptionRequest {
        after_position: Some(position),
        ..SubscriptionRequest::default()
    }
}

/// The same request with markers.
pub(crate) fn beating(request: SubscriptionRequest) -> SubscriptionRequest {
    SubscriptionRequest {
        heartbeat_interval: Some(OFTEN.into()),
        ..request
    }
}

/// What comes next on a stream, which is not to end.
pub(crate) async fn next(stream: &mut Streaming<Event>) -> Result<Event, Status> {
    let message = timeout(DEADLINE, stream.message()).await;
    let message = message.expect("something is sent in time")?;
    Ok(message.expect("a subscription does not end by itself"))
}

/// The next events on a stream, which carries no markers.
pub(crate) async fn read(stream: &mut Streaming<Event>, count: usize) -> Vec<Event> {
    let mut events = Vec::with_capacity(count);
    while events.len() < count {
        events.push(next(stream).await.unwrap());
    }
    events
}

/// Everything on a stream that ends.
pub(crate) async fn read_all(mut stream: Streaming<Event>) -> Result<Vec<Event>, Status> {
    let mut events = Vec::new();
    while let Some(event) = timeout(DEADLINE, stream.message()).await.unwrap()? {
        events.push(event);
    }
    Ok(events)
}

/// How a stream ends that goes no further.
pub(crate) async fn end_of(stream: &mut Streaming<Event>) -> Status {
    next(stream).await.expect_err("the stream has ended")
}

pub(crate) fn is_marker(event: &Event) -> bool {
    marker_position(event).is_some()
}

/// The cursor that a marker carries; `None` for a stored event.
pub(crate) fn marker_position(event: &Event) -> Option<u64> {
    match event.payload.as_ref().unwrap() {
        Payload::Heartbeat(marker) => Some(marker.position),
        Payload::CaughtUp(marker) => Some(marker.position),
        Payload::FellBehind(marker) => Some(marker.position),
        _ => None,
    }
}

/// Where to resume after a message.
pub(crate) fn cursor_of(event: &Event) -> u64 {
    marker_position(event).unwrap_or(event.position)
}

/// Code, reason and field of a status.
pub(crate) fn error_of(status: &Status) -> (Code, String, String) {
    let details = status.get_error_details();
    let info = details.error_info();
    if let Some(info) = info {
        assert_eq!(info.domain, "atlas.events");
    }
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    (
        status.code(),
        info.map(|info| info.reason.clone()).unwrap_or_default(),
        violations
            .and_then(|violations| violations.first())
            .map(|violation| violation.field.clone())
            .unwrap_or_default(),
    )
}

pub(crate) fn expectation(code: Code, reason: &str, field: &str) -> (Code, String, String) {
    (code, reason.to_owned(), field.to_owned())
}

/// A fact for programs in a status; empty if it is not there.
pub(crate) fn fact(status: &Status, name: &str) -> String {
    let details = status.get_error_details();
    let info = details.error_info();
    info.and_then(|info| info.metadata.get(name).cloned())
        .unwrap_or_default()
}

pub(crate) fn receipts_of(response: PublishStreamResponse) -> Vec<PublishReceipt> {
    match response.outcome.unwrap() {
        Outcome::Stored(stored) => stored.receipts,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn execute(connection: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}

/// Ends every session of this database but that of `connection`. Returns how many.
pub(crate) async fn end_sessions(connection: &mut PgConnection) -> usize {
    let ended: Vec<bool> = sqlx::query_scalar(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    ended.len()
}
