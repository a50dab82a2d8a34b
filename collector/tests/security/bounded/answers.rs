//! Answers that nobody takes hold the share of their caller, and no more.

use access::Scope;
use atlas_events::Event;
use serde_json::json;
use test_support::{Folder, TestDatabase, eventually};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    clients::{Client, Rest},
    harness::{Collector, DEADLINE, metric, token, write_tokens},
};

/// One that takes six times as much in JSON as in memory.
fn escaped() -> Event {
    let data = json!({"text": "\u{1}".repeat(900_000)});
    let event = json!({"sourceService": "Test", "custom": {"type": "Escaped", "data": data}});
    serde_json::from_value(event).unwrap()
}

#[tokio::test]
async fn answers_that_are_not_taken_hold_a_share() {
    const MEBIBYTE: f64 = 1024.0 * 1024.0;
    /// A quarter of what all answers may hold.
    const SHARE: f64 = 64.0 * MEBIBYTE;
    let folder = Folder::create();
    let (greedy, a) = token("greedy", &[Scope::Read, Scope::Publish]);
    let (modest, b) = token("modest", &[Scope::Read]);
    let file = write_tokens(&folder, &[&a, &b]);
    let database = TestDatabase::create().await;
    let settings = [
        ("auth.tokens_file", &*file),
        // What is not taken is there for longer than the test.
        ("rest.body_timeout_seconds", "600"),
    ];
    let collector = Collector::start(&database, &settings).await;
    let client = Client::of(&collector).await.with_token(&greedy);
    for _ in 0..20 {
        client.publish(vec![escaped()]).await.unwrap();
    }
    let rest = Rest::of(&collector);
    let path = "/v1/events?after_position=0";
    let held = async || {
        rest.with_token(&modest).get("/metrics").await;
        metric("fredcollector_answer_bytes")
    };
    let address = collector.rest.replace("http://localhost", "127.0.0.1");
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {greedy}\r\n\r\n");
    let ask = async || {
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        connection
    };
    // A page has an event of 5 MiB, and is cut before it would have two. A page that is being read holds a share too, so a
    // refusal counts only while unread answers hold most of it.
    let mut unread = Vec::new();
    for _ in 0..9 {
        unread.push(ask().await);
    }
    let mut refused = None;
    eventually(DEADLINE, async || {
        unread.push(ask().await);
        assert!(held().await <= SHARE);
        let answer = rest.with_token(&greedy).get(path).await;
        let full = !answer.status.is_success() && held().await > 0.75 * SHARE;
        refused = full.then_some(answer);
        full
    })
    .await;
    let problem = refused.unwrap().denied(503, "TOO_MANY_BYTES");
    assert_eq!(problem["type"], "urn:atlas:problem:overloaded");
    let page = rest.with_token(&modest).get(path).await.ok();
    let found = page["events"].as_array().unwrap().len();
    assert!((1..20).contains(&found), "{found}");
    assert_eq!(page["next"], found as u64);
    drop(unread);
    eventually(DEADLINE, async || held().await == 0.0).await;
    rest.with_token(&greedy).get(path).await.ok();
    collector.stop().await;
}
