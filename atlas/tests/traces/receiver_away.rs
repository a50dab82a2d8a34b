use std::time::{Duration, Instant};

use atlas_events::{PublishRequest, event_publisher_client::EventPublisherClient};
use test_support::{TestDatabase, eventually, series_event};
use tokio::net::TcpListener;
use tonic::Request;

use crate::{DEADLINE, receiver::Receiver, up::Up};

const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const DROPPED: &str = "traces_spans_dropped_total";
const EXPORTED: &str = "traces_spans_exported_total";

/// Publishes single events, each of which is asked to be traced; gives how long that took.
async fn publish(up: &Up, numbers: std::ops::Range<u64>) -> Duration {
    let mut publisher = EventPublisherClient::connect(up.collector.clone())
        .await
        .unwrap();
    let began = Instant::now();
    for number in numbers {
        let events = vec![series_event(number, "VIXCLS", "2024-08-02", "15")];
        let mut request = Request::new(PublishRequest {
            events,
            ..PublishRequest::default()
        });
        let given = GIVEN.parse().unwrap();
        request.metadata_mut().insert("traceparent", given);
        publisher.publish(request).await.unwrap();
    }
    began.elapsed()
}

#[tokio::test]
async fn a_receiver_that_is_away_and_comes_back_disturbs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let database = TestDatabase::create().await;
    let endpoint = format!("http://{address}");
    let up = Up::start(&database, &[("TELEMETRY__TRACES_ENDPOINT", &endpoint)]);
    publish(&up, 1..50).await;
    let failing = async || up.metric(DROPPED) > 0.0;
    eventually(DEADLINE, failing).await;
    publish(&up, 50..100).await;
    let dropped = up.metric(DROPPED);
    eventually(DEADLINE, async || up.metric(DROPPED) > dropped).await;
    assert_eq!(
        up.logged("traces cannot be exported"),
        1,
        "{:?}",
        up.lines()
    );

    let receiver = Receiver::on(TcpListener::bind(address).await.unwrap());
    let mut number = 100;
    let arriving = async || {
        publish(&up, number..number + 1).await;
        number += 1;
        !receiver.spans().is_empty()
    };
    eventually(DEADLINE, arriving).await;
    eventually(DEADLINE, async || up.metric(EXPORTED) > 0.0).await;
    eventually(DEADLINE, async || {
        up.logged("traces are exported again") == 1
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_spans_and_no_time() {
    // The system accepts the connection; nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let database = TestDatabase::create().await;
    let mut up = Up::start(&database, &[("TELEMETRY__TRACES_ENDPOINT", &endpoint)]);
    let took = publish(&up, 1..200).await;
    eventually(DEADLINE, async || up.metric(DROPPED) > 0.0).await;
    assert!(took < DEADLINE, "{took:?}");
    let asked = Instant::now();
    up.end();
    // Two seconds for the last spans, and what the end takes otherwise.
    assert!(
        asked.elapsed() < Duration::from_secs(20),
        "{:?}",
        asked.elapsed()
    );
}
