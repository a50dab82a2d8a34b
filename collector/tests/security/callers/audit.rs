//! The audit log: what administrators did, and tried to.

use access::Scope;
use serde_json::{Value, json};
use test_support::{Folder, TestDatabase, eventually};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    clients::Rest,
    harness::{Collector, DEADLINE, metric, only, token, write_tokens},
};

/// Who, what, and how it ended, the newest first.
fn rows_of(page: &Value) -> Vec<[String; 3]> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let actions = page["actions"].as_array().unwrap().iter();
    actions
        .map(|action| ["who", "action", "outcome"].map(|member| text(&action[member])))
        .collect()
}

#[tokio::test]
async fn administrative_actions_are_recorded_with_who_what_and_outcome() {
    let folder = Folder::create();
    let (admin, a) = token("operator", &[Scope::Admin]);
    let (reader, b) = token("reader", &[Scope::Read]);
    let (limited, mut c) = token("northerner", &[Scope::Admin]);
    c.series = only(&["NORTH"]);
    let file = write_tokens(&folder, &[&a, &b, &c]);
    let database = TestDatabase::create().await;
    let settings = [("auth.tokens_file", &*file), ("fred.series", "NORTH,SOUTH")];
    let collector = Collector::start(&database, &settings).await;
    let rest = Rest::of(&collector);
    let as_who = |token: &str| rest.with_token(token);
    let schedule = json!({"schedule": "35 12 * * 4"});
    as_who(&admin)
        .post("/v1/series/NORTH/pause", &Value::Null)
        .await
        .ok();
    let changed = as_who(&admin)
        .try_send(reqwest::Method::PATCH, "/v1/series/NORTH", Some(&schedule))
        .await;
    changed.unwrap().ok();
    as_who(&reader)
        .post("/v1/series/NORTH/pause", &Value::Null)
        .await
        .denied(403, "SCOPE_MISSING");
    as_who(&limited)
        .post("/v1/series/SOUTH/pause", &Value::Null)
        .await
        .denied(403, "NOT_GRANTED");
    as_who(&limited)
        .post("/v1/series/NORTH/resume", &Value::Null)
        .await
        .ok();
    let missing = as_who(&admin)
        .post("/v1/series/NOWHERE/pause", &Value::Null)
        .await;
    assert_eq!(missing.status.as_u16(), 404);
    // Neither reading nor who is not known leaves a record.
    as_who(&reader).get("/v1/series").await.ok();
    rest.post("/v1/series/NORTH/pause", &Value::Null)
        .await
        .denied(401, "UNAUTHENTICATED");

    let page = as_who(&admin).get("/v1/audit").await.ok();
    let expected = [
        ["operator", "POST /v1/series/NOWHERE/pause", "404"],
        ["northerner", "POST /v1/series/NORTH/resume", "ok"],
        ["northerner", "POST /v1/series/SOUTH/pause", "403"],
        ["reader", "POST /v1/series/NORTH/pause", "403"],
        ["operator", "PATCH /v1/series/NORTH", "ok"],
        ["operator", "POST /v1/series/NORTH/pause", "ok"],
    ];
    assert_eq!(rows_of(&page), expected.map(|row| row.map(str::to_owned)));
    let patched = &page["actions"][4];
    assert_eq!(patched["detail"], schedule.to_string());
    assert_eq!(patched["from"], "127.0.0.1");
    for token in [&admin, &reader, &limited] {
        assert!(!page.to_string().contains(token.as_str()));
    }
    // Pages.
    let first = as_who(&admin).get("/v1/audit?limit=4").await.ok();
    let next = first["next"].as_i64().unwrap();
    let second = as_who(&admin)
        .get(&format!("/v1/audit?before={next}"))
        .await
        .ok();
    assert_eq!([rows_of(&first), rows_of(&second)].concat(), rows_of(&page));
    assert_eq!(second["next"], Value::Null);
    // A token that administers only a part does not see the rest.
    as_who(&limited)
        .get("/v1/audit")
        .await
        .denied(403, "UNLIMITED_ONLY");
    as_who(&reader)
        .get("/v1/audit")
        .await
        .denied(403, "SCOPE_MISSING");
    collector.stop().await;
}

/// Whoever is refused without end does not fill the log, and others are recorded beside it.
#[tokio::test]
async fn refused_actions_of_one_caller_have_a_rate() {
    let folder = Folder::create();
    let (admin, a) = token("operator", &[Scope::Admin]);
    let (reader, b) = token("reader", &[Scope::Read]);
    let file = write_tokens(&folder, &[&a, &b]);
    let database = TestDatabase::create().await;
    let settings = [("auth.tokens_file", &*file), ("fred.series", "NORTH")];
    let collector = Collector::start(&database, &settings).await;
    let rest = Rest::of(&collector);
    for _ in 0..100 {
        let refused = rest.with_token(&reader);
        let refused = refused.post("/v1/series/NORTH/pause", &Value::Null).await;
        refused.denied(403, "SCOPE_MISSING");
    }
    let paused = rest.with_token(&admin);
    paused
        .post("/v1/series/NORTH/pause", &Value::Null)
        .await
        .ok();
    let page = rest.with_token(&admin).get("/v1/audit?limit=1000").await;
    let recorded = rows_of(&page.ok());
    let of = |name: &str| recorded.iter().filter(|row| row[0] == name).count() as f64;
    let left_out = metric("fredcollector_audit_unrecorded_total");
    // A window of the rate may have ended in between.
    assert!(of("reader") < 100.0, "{}", of("reader"));
    assert_eq!(of("reader") + left_out, 100.0);
    assert_eq!(of("operator"), 1.0);
    collector.stop().await;
}

#[tokio::test]
async fn where_nobody_is_asked_who_they_are_actions_are_recorded_too() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database, &[("fred.series", "NORTH")]).await;
    let rest = Rest::of(&collector);
    rest.post("/v1/series/NORTH/pause", &Value::Null).await.ok();
    let page = rest.get("/v1/audit").await.ok();
    let row = ["anonymous", "POST /v1/series/NORTH/pause", "ok"];
    assert_eq!(rows_of(&page), [row.map(str::to_owned)]);
    collector.stop().await;
}

#[tokio::test]
async fn an_action_whose_client_went_away_is_recorded() {
    let database = TestDatabase::create().await;
    // A source that takes a request and never answers.
    let source = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", source.local_addr().unwrap());
    let settings = [
        ("fred.base_url", &*url),
        ("fred.api_key", "0123456789abcdef0123456789abcdef"),
        ("fred.request_timeout_seconds", "2"),
        ("fred.attempts_max", "1"),
    ];
    let collector = Collector::start(&database, &settings).await;
    let address = collector.rest.replace("http://localhost", "127.0.0.1");
    let body = json!({"id": "NORTH"}).to_string();
    let length = body.len();
    let request = format!(
        "POST /v1/series HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    let mut client = TcpStream::connect(&address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    // Once the source is asked, the action is under way.
    let asked = timeout(DEADLINE, source.accept()).await.unwrap();
    drop(client);
    let rest = Rest::of(&collector);
    let row = ["anonymous", "POST /v1/series", "502"].map(str::to_owned);
    eventually(DEADLINE, async || {
        rows_of(&rest.get("/v1/audit").await.ok()) == [row.clone()]
    })
    .await;
    drop(asked);
    collector.stop().await;
}
