//! `atlas up`: what is published to the collector comes out of the engine as a crossing, of which the alert service
//! makes an alert, all in one process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use atlas_events::{
    PublishRequest, SubscriptionRequest, event::Payload,
    event_publisher_client::EventPublisherClient, event_stream_client::EventStreamClient,
};
use test_support::{TestDatabase, eventually, series_event};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(60);
const PATTERNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../threshold-engine/patterns");

/// Ends with the test, whatever becomes of that.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process, gRPC of collector and engine, and REST of the alert service.
fn start(database: &TestDatabase) -> (Up, String, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(["up", "--patterns", PATTERNS])
        .env("DATABASE_URL", database.url())
        .env("REST__ADDRESS", "127.0.0.1:1")
        .env("COLLECTOR__REST__ADDRESS", "127.0.0.1:0")
        .env("COLLECTOR__GRPC__ADDRESS", "127.0.0.1:0")
        .env("ENGINE__REST__ADDRESS", "127.0.0.1:0")
        .env("ENGINE__GRPC__ADDRESS", "127.0.0.1:0")
        .env("ALERT_SERVICE__REST__ADDRESS", "127.0.0.1:0")
        .env("ALERT_SERVICE__GRPC__ADDRESS", "127.0.0.1:0")
        .env("TELEMETRY__FILTER", "warn")
        .env_remove("FRED_API_KEY")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut address = |name: &str, of: &str| {
        let line = lines.next().unwrap().unwrap();
        assert!(line.starts_with(name), "{line}");
        let (_, after) = line.split_once(of).unwrap();
        after.split([',', ';']).next().unwrap().to_owned()
    };
    let (collector, engine, alerts) = (
        address("collector is ready", "gRPC "),
        address("threshold engine is ready", "gRPC "),
        address("alert service is ready", "REST "),
    );
    (Up(child), collector, engine, alerts)
}

#[tokio::test]
async fn what_is_published_comes_out_as_a_crossing() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = TestDatabase::create().await;
    let (mut up, collector, engine, alerts) = start(&database);
    let mut publisher = EventPublisherClient::connect(collector).await.unwrap();
    let mut follower = EventStreamClient::connect(engine).await.unwrap();
    let request = SubscriptionRequest {
        after_position: Some(0),
        event_types: vec!["ThresholdCrossedEvent".to_owned()],
        ..SubscriptionRequest::default()
    };
    let mut stream = follower
        .subscribe_to_events(request)
        .await
        .unwrap()
        .into_inner();
    let events = vec![
        series_event(1, "VIXCLS", "2024-08-02", "23.39"),
        series_event(2, "VIXCLS", "2024-08-05", "38.57"),
    ];
    let published = publisher
        .publish(PublishRequest {
            events,
            ..PublishRequest::default()
        })
        .await;
    assert_eq!(published.unwrap().into_inner().receipts.len(), 2);
    let crossed = async {
        loop {
            let event = stream.message().await.unwrap().unwrap();
            if let Some(Payload::ThresholdCrossed(crossed)) = event.payload
                && crossed.pattern_id == "vix-above-30"
            {
                return crossed;
            }
        }
    };
    let crossed = timeout(DEADLINE, crossed).await.unwrap();
    assert_eq!(crossed.observation_date, "2024-08-05");
    assert_eq!(crossed.value.as_deref(), Some("38.57"));
    assert_eq!(crossed.cause_position, 2);
    // Its observation is old, so the alert service, which begins with a rule for every pattern, says why it is silent.
    let suppressed = format!("{alerts}/v1/deliveries?state=suppressed");
    eventually(DEADLINE, async || {
        let deliveries = reqwest::get(&suppressed)
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        deliveries.contains("\"channel_kind\":\"log\"") && deliveries.contains("too_old")
    })
    .await;

    let id = up.0.id().to_string();
    let asked = Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(asked.success());
    let waiting = tokio::task::spawn_blocking(move || up.0.wait().unwrap());
    let ended = timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
}
