//! Clients that connect and do not go on, and those that connect too often: they are cut off, and
//! others are served beside them.

use std::net::SocketAddr;

use access::Scope;
use test_support::{Authority, Folder, TestDatabase, custom_event, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    clients::{Client, Rest},
    harness::{Collector, DEADLINE, borrowed, metric, tls_settings, token, write_tokens},
};

/// Longer than a test takes, where the timeout is not what ends something.
const LONG: (&str, &str) = ("rest.body_timeout_seconds", "600");

fn address(url: &str) -> SocketAddr {
    let (_, port) = url.rsplit_once(':').unwrap();
    format!("127.0.0.1:{port}").parse().unwrap()
}

/// A connection on which this was sent.
async fn connection(url: &str, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address(url)).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream
}

/// What comes on a connection until the service closes it.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut received = Vec::new();
    // However it is closed.
    let closed = timeout(DEADLINE, stream.read_to_end(&mut received)).await;
    assert!(closed.is_ok(), "it is not closed");
    String::from_utf8_lossy(&received).into_owned()
}

#[tokio::test]
async fn a_connection_on_which_no_request_comes_is_closed() {
    let database = TestDatabase::create().await;
    let settings = [
        ("rest.head_timeout_seconds", "1"),
        ("security.handshake_timeout_seconds", "1"),
    ];
    let collector = Collector::start(&database, &settings).await;
    let client = Client::of(&collector).await;
    let rest = Rest::of(&collector);
    for sent in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-half: "] {
        let silent = connection(&collector.rest, sent.as_bytes()).await;
        until_closed(silent).await;
        rest.get("/v1/log").await.ok();
    }
    // One that was answered, and keeps its connection for nothing.
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let answered = connection(&collector.rest, request).await;
    let answer = until_closed(answered).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // gRPC: nothing, and half of what HTTP/2 begins with.
    for sent in ["", "PRI * HTTP/2.0\r\n"] {
        until_closed(connection(&collector.grpc, sent.as_bytes()).await).await;
        client.publish(vec![custom_event(1)]).await.unwrap();
    }
    rest.get("/v1/log").await.ok();
    collector.stop().await;
}

#[tokio::test]
async fn half_a_handshake_is_cut_off() {
    let authority = Authority::new("authority");
    let folder = Folder::create();
    let settings = tls_settings(&folder, &authority.server());
    let mut settings = borrowed(&settings);
    settings.push(("security.handshake_timeout_seconds", "1"));
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &settings).await;
    for (url, listener) in [(&collector.rest, "rest"), (&collector.grpc, "grpc")] {
        // The head of a record, and the beginning of a greeting.
        until_closed(connection(url, b"\x16\x03\x01\x02\x00\x01\x00").await).await;
        let timed_out = format!(
            "fredcollector_tls_handshakes_failed_total{{listener=\"{listener}\",reason=\"timed_out\"}}"
        );
        eventually(DEADLINE, async || metric(&timed_out) == 1.0).await;
    }
    collector.stop().await;
}

/// A request to publish that has a body, none of which is sent.
fn publish(headers: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n"
    )
}

#[tokio::test]
async fn a_refused_request_is_answered_without_its_body() {
    let folder = Folder::create();
    let (reader, entry) = token("reader", &[Scope::Read]);
    let (publisher, other) = token("publisher", &[Scope::Publish]);
    let file = write_tokens(&folder, &[&entry, &other]);
    let database = TestDatabase::create().await;
    let settings = [("auth.tokens_file", &*file), LONG];
    let collector = Collector::start(&database, &settings).await;
    let reader = format!("authorization: Bearer {reader}\r\ncontent-length: 100\r\n");
    let large = format!("authorization: Bearer {publisher}\r\ncontent-length: 4194305\r\n");
    for (headers, status) in [
        ("content-length: 100\r\n", "401"),
        ("transfer-encoding: chunked\r\n", "401"),
        (&reader, "403"),
        (&large, "413"),
    ] {
        let request = publish(headers);
        let answer = until_closed(connection(&collector.rest, request.as_bytes()).await).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    collector.stop().await;
}

/// Who still sends what is not wanted any more is not cut off: its system would drop the answer.
#[tokio::test]
async fn who_sends_twice_a_bound_gets_the_answer() {
    let folder = Folder::create();
    let (publisher, entry) = token("publisher", &[Scope::Publish]);
    let file = write_tokens(&folder, &[&entry]);
    let database = TestDatabase::create().await;
    let settings = [("auth.tokens_file", &*file), LONG];
    let collector = Collector::start(&database, &settings).await;
    let length = 2 * 4_194_304;
    let plain = format!("content-length: {length}\r\n");
    let known = format!("authorization: Bearer {publisher}\r\n");
    let chunked = format!("{known}transfer-encoding: chunked\r\n");
    let body = vec![b'x'; length];
    let chunk = [format!("{length:x}\r\n").as_bytes(), &body].concat();
    let large_head = [b"GET / HTTP/1.1\r\nx-large: ", &body[..]].concat();
    let with_body = |headers: &str, body: &[u8]| [publish(headers).as_bytes(), body].concat();
    for (sent, status) in [
        (with_body(&plain, &body), "401"),
        (with_body(&(known + &plain), &body), "413"),
        (with_body(&chunked, &chunk), "413"),
        (large_head, "431"),
    ] {
        // All is sent before anything is read.
        let mut sender = connection(&collector.rest, &sent).await;
        sender.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(DEADLINE, sender.read_to_end(&mut answer)).await;
        read.unwrap().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    collector.stop().await;
}

/// What is read of a body that is not wanted has an end.
#[tokio::test]
async fn who_sends_without_end_is_cut_off() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[LONG]).await;
    let head = publish("content-length: 1000000000000\r\n");
    let mut sender = connection(&collector.rest, head.as_bytes()).await;
    let part = vec![b'x'; 1024 * 1024];
    let sending = async {
        let mut sent = 0_usize;
        while sender.write_all(&part).await.is_ok() {
            sent += part.len();
        }
        sent
    };
    let sent = timeout(DEADLINE, sending).await.unwrap();
    // What is read, and what the buffers of two sockets take.
    assert!(sent < 64 * 1024 * 1024, "{sent}");
    collector.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_the_request() {
    let folder = Folder::create();
    let (everything, entry) = token("everything", &Scope::ALL);
    let file = write_tokens(&folder, &[&entry]);
    let database = TestDatabase::create().await;
    let settings = [
        ("auth.tokens_file", &*file),
        ("rest.body_timeout_seconds", "2"),
    ];
    let collector = Collector::start(&database, &settings).await;
    let headers = format!("authorization: Bearer {everything}\r\ncontent-length: 100000\r\n");
    let half = publish(&headers) + &"x".repeat(50_000);
    // One that is recorded, and so read by others.
    let recorded = format!(
        "POST /v1/series HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {everything}\r\ncontent-length: 1000\r\n\r\n{{"
    );
    let rest = Rest::of(&collector).with_token(&everything);
    for request in [half, recorded] {
        let slow = connection(&collector.rest, request.as_bytes()).await;
        let held = async || {
            rest.get("/metrics").await;
            metric("fredcollector_request_bytes")
        };
        eventually(DEADLINE, async || held().await > 0.0).await;
        let answer = until_closed(slow).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(
            answer.contains("urn:atlas:problem:body-timed-out"),
            "{answer}"
        );
        eventually(DEADLINE, async || held().await == 0.0).await;
    }
    collector.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut_off() {
    let database = TestDatabase::create().await;
    let settings = [("rest.body_timeout_seconds", "1")];
    let collector = Collector::start(&database, &settings).await;
    let request = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    // Far more than lies on the way between the two.
    let requests = request.repeat(1_000);
    let unread = connection(&collector.rest, requests.as_bytes()).await;
    let answered =
        "fredcollector_rest_requests_total{method=\"GET\",route=\"/openapi.json\",status=\"200\"}";
    eventually(DEADLINE, async || metric(answered) > 0.0).await;
    let current = "fredcollector_connections{listener=\"rest\"}";
    eventually(DEADLINE, async || metric(current) == 0.0).await;
    assert!(metric(answered) < 1_000.0);
    drop(unread);
    collector.stop().await;
}

/// Connects from another address of this machine.
async fn connect_from(from: &str, url: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(address(url)).await.unwrap()
}

async fn is_served(mut stream: TcpStream) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let _ = stream.write_all(request).await;
    until_closed(stream).await.starts_with("HTTP/1.1 200 OK")
}

#[tokio::test]
async fn connections_are_bounded_for_an_address_and_in_all() {
    let database = TestDatabase::create().await;
    let settings = [
        ("rest.connections_max", "6"),
        ("rest.connections_per_address_max", "4"),
        ("grpc.connections_per_address_max", "1"),
    ];
    let collector = Collector::start(&database, &settings).await;
    let url = &collector.rest;
    let count = |what: &str| metric(&format!("fredcollector_connections{what}"));
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(connect_from("127.0.0.1", url).await);
    }
    assert!(!is_served(connect_from("127.0.0.1", url).await).await);
    assert_eq!(
        count("_refused_total{listener=\"rest\",reason=\"address\"}"),
        1.0
    );
    assert_eq!(count("{listener=\"rest\"}"), 4.0);
    assert!(is_served(connect_from("127.0.0.2", url).await).await);
    eventually(DEADLINE, async || count("{listener=\"rest\"}") == 4.0).await;
    for _ in 0..2 {
        silent.push(connect_from("127.0.0.2", url).await);
    }
    assert!(!is_served(connect_from("127.0.0.3", url).await).await);
    assert_eq!(
        count("_refused_total{listener=\"rest\",reason=\"full\"}"),
        1.0
    );
    drop(silent);
    eventually(DEADLINE, async || {
        is_served(connect_from("127.0.0.1", url).await).await
    })
    .await;
    // The other listener has bounds of its own.
    let client = Client::of(&collector).await;
    until_closed(connect_from("127.0.0.1", &collector.grpc).await).await;
    client.info().await.unwrap();
    assert_eq!(
        count("_refused_total{listener=\"grpc\",reason=\"address\"}"),
        1.0
    );
    collector.stop().await;
}
