//! Ending, and beginning again on the same database.

use std::time::{Duration, Instant};

use atlas_events::{
    GetLogInfoRequest, SubscriptionRequest, event_log_client::EventLogClient,
    event_stream_client::EventStreamClient,
};
use serde_json::json;
use test_support::{TestDatabase, custom_event};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tonic::Code;

use crate::harness::{Collector, DEADLINE};

#[tokio::test]
async fn open_streams_end_with_unavailable_and_the_service_in_time() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let mut client = EventStreamClient::connect(collector.grpc.clone())
        .await
        .unwrap();
    let request = SubscriptionRequest {
        after_position: Some(0),
        ..SubscriptionRequest::default()
    };
    let mut stream = client
        .subscribe_to_events(request)
        .await
        .unwrap()
        .into_inner();
    collector
        .post("/v1/events", &json!(custom_event(0)))
        .await
        .ok();
    let first = timeout(DEADLINE, stream.message()).await.unwrap().unwrap();
    assert_eq!(first.unwrap().position, 1);

    let began = Instant::now();
    collector.shutdown.cancel();
    let ended = timeout(DEADLINE, stream.message())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
    collector.stop().await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

/// The drain would take longer than the test waits.
const LONG_DRAIN: &str = "shutdown.drain_seconds=600";

#[tokio::test]
async fn a_client_that_sends_half_a_request_does_not_hold_up_the_end() {
    let database = TestDatabase::create().await;
    let settings = [LONG_DRAIN, "rest.body_timeout_seconds=600"].map(str::to_owned);
    let collector = Collector::start_with(&database, &settings).await;
    let address = collector.rest.strip_prefix("http://").unwrap();
    let mut half_sent = TcpStream::connect(address).await.unwrap();
    let head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                 content-length: 100\r\n\r\n{";
    half_sent.write_all(head).await.unwrap();
    // Answered on another connection, so the first has been taken up.
    collector.get("/healthz").await.ok();
    collector.stop().await;
    let mut answer = String::new();
    half_sent.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("shutting-down"), "{answer}");
}

#[tokio::test]
async fn a_client_that_takes_no_answer_does_not_hold_up_the_end() {
    let database = TestDatabase::create().await;
    let settings = [LONG_DRAIN, "rest.body_timeout_seconds=600"].map(str::to_owned);
    let collector = Collector::start_with(&database, &settings).await;
    for n in 0..60 {
        let mut event = json!(custom_event(n));
        event["custom"]["data"]["text"] = json!("x".repeat(200_000));
        collector.post("/v1/events", &event).await.ok();
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let address = collector.rest.strip_prefix("http://").unwrap();
    let mut unread = socket.connect(address.parse().unwrap()).await.unwrap();
    let head = b"GET /v1/events?limit=60 HTTP/1.1\r\nhost: x\r\n\r\n";
    unread.write_all(head).await.unwrap();
    // It has begun to answer.
    unread.readable().await.unwrap();
    collector.stop().await;
}

#[tokio::test]
async fn a_second_start_goes_on_where_the_first_ended() {
    let database = TestDatabase::create().await;
    let first = Collector::start(&database).await;
    let log = first.get("/v1/log").await.ok();
    first.post("/v1/events", &json!(custom_event(0))).await.ok();
    first.stop().await;

    let second = Collector::start(&database).await;
    let receipts = second
        .post("/v1/events", &json!(custom_event(1)))
        .await
        .ok();
    assert_eq!(receipts["receipts"][0]["position"], 2);
    let again = second.get("/v1/log").await.ok();
    assert_eq!(again["log_id"], log["log_id"]);
    let mut client = EventLogClient::connect(second.grpc.clone()).await.unwrap();
    let reported = client.get_log_info(GetLogInfoRequest {}).await.unwrap();
    assert_eq!(reported.into_inner().log_id, log["log_id"]);
    second.stop().await;
}

#[tokio::test]
async fn schemas_are_logs_of_their_own() {
    let database = TestDatabase::create().await;
    let first = Collector::start(&database).await;
    let other = ["database.schema=other".to_owned()];
    let second = Collector::start_with(&database, &other).await;
    first.post("/v1/events", &json!(custom_event(0))).await.ok();
    assert_eq!(first.last_position().await, 1);
    assert_eq!(second.last_position().await, 0);
    first.stop().await;
    second.stop().await;
}
