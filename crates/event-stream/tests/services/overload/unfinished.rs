//! Clients that begin and do not go on: what they hold is bounded, and so is how long.

use std::time::Duration;

use access::{ByteBudget, Gate, Shares, Tokens};
use atlas_events::{Clock, PublishRequest};
use bytes::Bytes;
use event_log::LogConfig;
use event_stream::{RULES, StreamConfig};
use futures::{StreamExt, future::join_all, stream};
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use test_support::{TestDatabase, custom_event, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::ServiceExt;

use crate::{
    common::{Client, DEADLINE, Server, custom_events, error_of, execute, fact, receipts_of},
    overload::open_streams::from,
    streams::slow_reader::metrics,
};

const MEBIBYTE: u64 = 1024 * 1024;
pub(crate) const PUBLISH: &str = "/atlas.events.EventPublisher/Publish";
const PUBLISH_STREAM: &str = "/atlas.events.EventPublisher/PublishStream";
/// Of a message that is not sent to its end.
const LENGTH: u64 = 3_900_000;

/// A budget that one caller may use up.
pub(crate) fn all_of(budget: &ByteBudget) -> Shares {
    Shares::new(budget.clone(), u64::MAX)
}

/// The prefix of a message and so many bytes of it.
pub(crate) fn beginning(length: u64, sent: u64) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    bytes.resize(bytes.len() + usize::try_from(sent).unwrap(), 0);
    bytes.into()
}

pub(crate) async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(server.url.clone()).unwrap();
    endpoint.connect().await.unwrap()
}

/// How a call is answered whose client sends this and then nothing, nor an end.
pub(crate) async fn unfinished(channel: Channel, path: &str, sent: Bytes) -> Status {
    let frames = stream::iter([Ok::<_, Status>(http_body::Frame::data(sent))]);
    let body = Body::new(StreamBody::new(frames.chain(stream::pending())));
    let request = http::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap();
    let answer = channel.oneshot(request).await.unwrap();
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return status;
    }
    let collected = answer.into_body().collect().await.unwrap();
    Status::from_header_map(collected.trailers().unwrap()).unwrap()
}

fn reason(status: &Status) -> String {
    error_of(status).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_publishes_hold_what_they_may_and_end_in_time() {
    const CALLS: usize = 200;
    let metrics = metrics();
    let database = TestDatabase::create().await;
    let budget = ByteBudget::new("server", 40 * MEBIBYTE);
    let config = StreamConfig {
        metrics_prefix: "unfinished".to_owned(),
        request_bytes: all_of(&budget),
        connection_bytes_max: 24 * MEBIBYTE,
        message_timeout: Duration::from_secs(10),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let sent = beginning(LENGTH, LENGTH - 1);
    let attack = |channel: Channel| {
        let sent = sent.clone();
        let call = move |_| unfinished(channel.clone(), PUBLISH, sent.clone());
        tokio::spawn(join_all((0..CALLS).map(call)))
    };
    let first = attack(channel(&server).await);
    let timed_out =
        "unfinished_grpc_refused_total{method=\"Publish\",reason=\"MESSAGE_TIMED_OUT\"}";
    let refused = "unfinished_grpc_refused_total{method=\"Publish\",reason=\"TOO_MANY_BYTES\"}";
    let of_first = CALLS - 6;
    eventually(DEADLINE, async || {
        metrics
            .render()
            .contains(&format!("{refused} {of_first}\n"))
    })
    .await;
    // Six messages; what their calls cost is a part of them.
    let held = 6 * LENGTH;
    eventually(DEADLINE, async || budget.held() == held).await;
    // The connection beside finds the rest of what the server has.
    let second = attack(channel(&server).await);
    let mut client = server.client().await;
    client.publish(custom_events(0..10)).await;
    let first = timeout(DEADLINE, first).await.unwrap().unwrap();
    let second = timeout(DEADLINE, second).await.unwrap().unwrap();
    for (statuses, limited, held) in [(first, "connection", 6), (second, "server", 4)] {
        let late: Vec<_> = statuses
            .iter()
            .filter(|status| error_of(status).0 == Code::DeadlineExceeded)
            .collect();
        assert_eq!(late.len(), held, "{limited}");
        assert!(late.iter().all(|s| reason(s) == "MESSAGE_TIMED_OUT"));
        let spent = statuses.iter().filter(|status| {
            error_of(status).0 == Code::ResourceExhausted
                && reason(status) == "TOO_MANY_BYTES"
                && fact(status, "limited") == limited
        });
        assert_eq!(spent.count(), CALLS - held, "{limited}");
    }
    eventually(DEADLINE, async || budget.held() == 0).await;
    assert!(metrics.render().contains(&format!("{timed_out} 10\n")));
    client.publish(custom_events(10..20)).await;
    server.stop().await;
}

/// However many connections one caller has, others find room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_publishes_of_one_caller_leave_room_to_others() {
    let database = TestDatabase::create().await;
    let budget = ByteBudget::new("server", 40 * MEBIBYTE);
    let config = StreamConfig {
        request_bytes: Shares::new(budget.clone(), 20 * MEBIBYTE),
        // What is not refused at once is held until the end of this test.
        message_timeout: DEADLINE * 2,
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let held = 5 * LENGTH;
    let mut calls = Vec::new();
    for _ in 0..5 {
        let connection = from(&server, "127.0.0.1").await;
        let sent = beginning(LENGTH, LENGTH - 1);
        calls.push(tokio::spawn(unfinished(connection, PUBLISH, sent)));
    }
    eventually(DEADLINE, async || budget.held() == held).await;
    let another = from(&server, "127.0.0.1").await;
    let call = unfinished(another, PUBLISH, beginning(LENGTH, LENGTH - 1));
    let refused = timeout(DEADLINE, call).await.unwrap();
    assert_eq!(reason(&refused), "TOO_MANY_BYTES");
    assert_eq!(fact(&refused, "limited"), "caller");
    // Whoever is somebody else publishes as much.
    let other = from(&server, "127.0.0.2").await;
    let sent = beginning(LENGTH, LENGTH - 1);
    calls.push(tokio::spawn(unfinished(other, PUBLISH, sent)));
    eventually(DEADLINE, async || budget.held() == held + LENGTH).await;
    calls.iter().for_each(|call| call.abort());
    eventually(DEADLINE, async || budget.held() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn calls_that_are_not_admitted_hold_nothing() {
    let database = TestDatabase::create().await;
    let budget = ByteBudget::new("server", 40 * MEBIBYTE);
    let config = StreamConfig {
        gate: Gate::Tokens(Tokens::new(Vec::new(), Clock::system())),
        request_bytes: all_of(&budget),
        // What is not refused at once would be so after the end of this test.
        message_timeout: DEADLINE * 2,
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let channel = channel(&server).await;
    let calls = (0..200).map(|n| {
        let path = [PUBLISH, PUBLISH_STREAM][n % 2];
        unfinished(channel.clone(), path, beginning(LENGTH, 10_000))
    });
    for status in timeout(DEADLINE, join_all(calls)).await.unwrap() {
        assert_eq!(reason(&status), "UNAUTHENTICATED");
    }
    assert_eq!(budget.held(), 0);
    server.stop().await;
}

/// What anybody may ask leaves room for those who have a token.
#[tokio::test]
async fn calls_that_need_no_token_hold_a_small_part() {
    let database = TestDatabase::create().await;
    let budget = ByteBudget::new("server", 16 * MEBIBYTE);
    let config = StreamConfig {
        request_bytes: all_of(&budget),
        message_timeout: Duration::from_secs(2),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let channel = channel(&server).await;
    let check = "/grpc.health.v1.Health/Check";
    let calls = (0..400).map(|_| unfinished(channel.clone(), check, beginning(4_000, 1)));
    let statuses = timeout(DEADLINE, join_all(calls)).await.unwrap();
    let late = statuses.iter().filter(|s| reason(s) == "MESSAGE_TIMED_OUT");
    let late = late.count();
    let spent = statuses.iter().filter(|s| reason(s) == "TOO_MANY_BYTES");
    assert_eq!(spent.count() + late, 400);
    // A megabyte, at the four kilobytes that each call costs.
    assert!((200..=257).contains(&late), "{late}");
    eventually(DEADLINE, async || budget.held() == 0).await;
    server.stop().await;
}

#[tokio::test]
async fn a_message_is_as_large_as_its_call_needs() {
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        message_timeout: DEADLINE * 2,
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let channel = channel(&server).await;
    let served = ["EventStream/", "EventPublisher/", "EventLog/", "/grpc."];
    let rules = RULES
        .iter()
        .filter(|rule| served.iter().any(|name| rule.path.contains(name)))
        // The library does not answer it.
        .filter(|rule| !rule.path.ends_with("Health/List"));
    let mut checked = 0;
    for rule in rules {
        // Its bytes are not waited for.
        let sent = beginning(rule.message_bytes_max as u64 + 1, 0);
        let calling = unfinished(channel.clone(), rule.path, sent);
        let status = timeout(DEADLINE, calling).await.unwrap();
        assert_eq!(reason(&status), "MESSAGE_TOO_LARGE", "{}", rule.path);
        let reported = fact(&status, "message_bytes_max");
        assert_eq!(
            reported,
            rule.message_bytes_max.to_string(),
            "{}",
            rule.path
        );
        checked += 1;
    }
    assert_eq!(checked, 12);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_may_be_silent_between_messages_and_not_within_one() {
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        message_timeout: Duration::from_millis(500),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let mut client = server.client().await;
    let (requests, receiver) = mpsc::channel(1);
    let answers = client
        .publisher
        .publish_stream(ReceiverStream::new(receiver));
    let mut answers = answers.await.unwrap().into_inner();
    for n in 0..3 {
        let request = PublishRequest {
            events: vec![custom_event(n)],
            ..PublishRequest::default()
        };
        requests.send(request).await.unwrap();
        let answer = timeout(DEADLINE, answers.message()).await.unwrap();
        assert_eq!(receipts_of(answer.unwrap().unwrap())[0].position, n + 1);
        // By the end of this one, the stream before has been silent for longer.
        let channel = channel(&server).await;
        let within = unfinished(channel, PUBLISH_STREAM, beginning(1_000, 500));
        let status = timeout(DEADLINE, within).await.unwrap();
        assert_eq!(error_of(&status).0, Code::DeadlineExceeded);
        assert_eq!(reason(&status), "MESSAGE_TIMED_OUT");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_not_read_on_is_not_late() {
    const REQUESTS: u64 = 400;
    let database = TestDatabase::create().await;
    let log_config = LogConfig {
        queue_events_max: 20,
        ..LogConfig::default()
    };
    let config = StreamConfig {
        message_timeout: Duration::from_millis(500),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, log_config, config).await;
    let mut blocking = database.connection().await;
    execute(&mut blocking, "begin; select from log.log_head for update").await;
    let mut client = server.client().await;
    let requests = (0..REQUESTS).map(|n| PublishRequest {
        events: custom_events(n * 10..n * 10 + 10),
        ..PublishRequest::default()
    });
    let answers = client.publisher.publish_stream(stream::iter(requests));
    let answers = answers.await.unwrap().into_inner();
    for _ in 0..2 {
        let channel = channel(&server).await;
        let clock = unfinished(channel, PUBLISH_STREAM, beginning(1_000, 500));
        timeout(DEADLINE, clock).await.unwrap();
    }
    execute(&mut blocking, "rollback").await;
    let stored = answers.map(|answer| receipts_of(answer.unwrap()).len() as u64);
    let stored: Vec<u64> = timeout(DEADLINE, stored.collect()).await.unwrap();
    assert_eq!(stored.iter().sum::<u64>(), REQUESTS * 10);
    server.stop().await;
}

/// What HTTP/2 begins with, and the head of empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The head of a frame of 100 bytes that opens a stream, and two of them.
const HALF_HEADERS: &[u8] = b"\0\0\x64\x01\x04\0\0\0\x01\x82\x86";

/// Waits until the server has closed a connection on which this was sent.
async fn until_closed(server: &Server, sent: &[u8]) {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(sent).await.unwrap();
    let mut received = Vec::new();
    let reading = connection.read_to_end(&mut received);
    // However it ends.
    let _ = timeout(DEADLINE, reading).await.expect("it is closed");
}

async fn publish_on(client: &mut Client, n: u64) {
    client.publish(vec![custom_event(n)]).await;
}

#[tokio::test]
async fn a_connection_that_does_not_begin_is_closed() {
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        preface_timeout: Duration::from_millis(500),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let mut client = server.client().await;
    for (n, sent) in [0, 1, 10, 23, 24, 32].into_iter().enumerate() {
        until_closed(&server, &PREFACE[..sent]).await;
        publish_on(&mut client, n as u64).await;
    }
    // Something else than HTTP/2.
    until_closed(&server, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    publish_on(&mut client, 100).await;
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_stops_within_a_frame_is_closed() {
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        keepalive: (Duration::from_millis(500), Duration::from_millis(500)),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let mut client = server.client().await;
    publish_on(&mut client, 0).await;
    until_closed(&server, &[PREFACE, HALF_HEADERS].concat()).await;
    publish_on(&mut client, 1).await;
    server.stop().await;
}

#[test]
fn messages_of_the_contract_fit() {
    let largest = RULES.iter().map(|rule| rule.message_bytes_max).max();
    assert_eq!(largest, Some(atlas_events::MESSAGE_BYTES_MAX));
    let filters = atlas_events::SubscriptionRequest {
        event_types: vec!["x".repeat(64); 1_000],
        series_ids: vec!["x".repeat(64); 1_000],
        ..atlas_events::SubscriptionRequest::default()
    };
    let rule = RULES
        .iter()
        .find(|rule| rule.path.ends_with("SubscribeToEvents"));
    assert!(filters.encoded_len() < rule.unwrap().message_bytes_max);
}
