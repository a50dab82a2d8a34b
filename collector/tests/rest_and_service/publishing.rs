//! `POST /v1/events`: what is stored, and what is refused without a trace.

use atlas_events::{RegisterTypesRequest, event_types_client::EventTypesClient};
use chrono::{TimeDelta, Utc};
use prost::Message;
use reqwest::Method;
use serde_json::{Value, json};
use test_support::{Folder, TestDatabase, custom_event, series_event};
use ulid::Ulid;

use crate::harness::Collector;

fn batch(numbers: std::ops::Range<u64>) -> Value {
    json!({"events": numbers.map(custom_event).collect::<Vec<_>>()})
}

#[tokio::test]
async fn one_event_is_stored_and_served_as_it_was() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let sent = serde_json::to_value(series_event(1, "UNRATE", "2024-09-01", "4.10")).unwrap();
    let answer = collector.post("/v1/events", &sent).await;
    assert_eq!(answer.status, 201);
    let receipt = &answer.ok()["receipts"][0];
    assert_eq!(receipt["event_id"], sent["eventId"]);
    assert_eq!(receipt["position"], 1);
    assert_eq!(receipt["duplicate"], false);

    let path = format!("/v1/events/{}", sent["eventId"].as_str().unwrap());
    let found = collector.get(&path).await.ok();
    assert_eq!(found["position"], "1");
    assert_eq!(
        found["recordedAt"].as_str(),
        receipt["recorded_at"].as_str()
    );
    for member in ["eventId", "occurredAt", "sourceService", "seriesCollected"] {
        assert_eq!(found[member], sent[member]);
    }
    let latest = collector.get("/v1/series/UNRATE/latest").await.ok();
    assert_eq!(latest["value"], "4.10");
    collector.stop().await;
}

#[tokio::test]
async fn what_is_published_again_is_answered_with_the_first_position() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let first = collector.post("/v1/events", &batch(0..3)).await;
    assert_eq!(first.status, 201);
    let again = collector.post("/v1/events", &batch(0..3)).await;
    assert_eq!(again.status, 200);
    for (first, again) in (first.ok()["receipts"].as_array().unwrap().iter())
        .zip(again.ok()["receipts"].as_array().unwrap())
    {
        assert_eq!(first["position"], again["position"]);
        assert_eq!(again["duplicate"], true);
    }
    let partly = collector.post("/v1/events", &batch(2..4)).await;
    assert_eq!(partly.status, 201);
    assert_eq!(partly.ok()["receipts"][1]["position"], 4);
    assert_eq!(collector.last_position().await, 4);
    collector.stop().await;
}

#[tokio::test]
async fn id_time_and_trace_are_made_where_absent() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let event = json!({"source_service": "shop", "custom": {"type": "OrderPlaced"}});
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/events", collector.rest))
        .header("traceparent", trace)
        .json(&event)
        .send()
        .await
        .unwrap();
    let receipts: Value = answer.json().await.unwrap();
    let id = receipts["receipts"][0]["event_id"].as_str().unwrap();
    let found = collector.get(&format!("/v1/events/{id}")).await.ok();
    assert_eq!(found["traceparent"], trace);
    assert!(found["occurredAt"].is_string(), "{found}");
    collector.stop().await;
}

#[tokio::test]
async fn a_batch_with_bad_events_names_each_and_stores_none() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let mut events = batch(0..3);
    events["events"][1]["sourceService"] = json!("");
    events["events"][2]["custom"]["type"] = json!("SeriesCollectedEvent");
    let problem = collector.post("/v1/events", &events).await;
    let problem = problem.problem(422, "invalid-event");
    assert_eq!(problem["errors"][0]["field"], "events[1].source_service");
    assert_eq!(problem["errors"][1]["field"], "events[2].custom.type");
    assert_eq!(collector.last_position().await, 0);
    collector.stop().await;
}

/// An event with one thing changed, and what is said about it.
fn bad_events() -> Vec<(Value, &'static str, &'static str)> {
    let now = Utc::now();
    let custom = || json!({"sourceService": "x", "custom": {"type": "A"}});
    let with = |name: &str, value: Value| {
        let mut event = custom();
        event[name] = value;
        event
    };
    let at = |time: chrono::DateTime<Utc>| json!(time.to_rfc3339());
    let points = |points: Value| {
        json!({"sourceService": "x",
               "seriesCollected": {"seriesId": "A", "dataPoints": points}})
    };
    let point = |value: &str| points(json!([{"date": "2024-01-01", "value": value}]));
    let series = |id: &str| {
        json!({"sourceService": "x", "seriesCollected":
               {"seriesId": id, "dataPoints": [{"date": "2024-01-01"}]}})
    };
    let milliseconds = |time: chrono::DateTime<Utc>| time.timestamp_millis().unsigned_abs();
    let mut apart = with("occurredAt", at(now - TimeDelta::hours(3)));
    apart["eventId"] = json!(Ulid::from_parts(milliseconds(now), 1).to_string());
    vec![
        (
            with("eventId", json!("nonsense")),
            "event_id",
            "is not a ULID",
        ),
        (apart, "event_id", "more than one hour"),
        (json!({"sourceService": "x"}), "payload", "is missing"),
        (
            with("occurredAt", at(now + TimeDelta::hours(2))),
            "occurred_at",
            "ahead",
        ),
        (
            with("occurredAt", at(now - TimeDelta::days(800))),
            "occurred_at",
            "older than the log keeps",
        ),
        (
            point("NaN"),
            "series_collected.data_points[0].value",
            "finite",
        ),
        (
            point("Infinity"),
            "series_collected.data_points[0].value",
            "finite",
        ),
        (
            points(json!([])),
            "series_collected.data_points",
            "is empty",
        ),
        (series(""), "series_collected.series_id", "is required"),
        (
            series(&"x".repeat(51)),
            "series_collected.series_id",
            "more than 50",
        ),
        (
            with("sourceService", json!("")),
            "source_service",
            "is required",
        ),
        (
            json!({"sourceService": "x", "heartbeat": {}}),
            "payload",
            "cannot be published",
        ),
    ]
}

#[tokio::test]
async fn each_broken_rule_names_its_field() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    for (event, field, words) in bad_events() {
        let single = collector.post("/v1/events", &event).await;
        single.field_problem(422, "invalid-event", field, words);
        let batch = json!({"events": [custom_event(1), event]});
        let batch = collector.post("/v1/events", &batch).await;
        batch.field_problem(422, "invalid-event", &format!("events[1].{field}"), words);
    }
    assert_eq!(collector.last_position().await, 0);
    collector.stop().await;
}

#[tokio::test]
async fn bodies_that_are_no_publish_are_refused() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let cases = [
        (
            "{\"sourceService\": ",
            400,
            "invalid-request",
            "body",
            "not valid JSON",
        ),
        ("{} {}", 400, "invalid-request", "body", "trailing"),
        ("[]", 400, "invalid-request", "body", "is to be an event"),
        (
            "{\"events\": {}}",
            400,
            "invalid-request",
            "events",
            "array",
        ),
        (
            "{\"events\": []}",
            400,
            "invalid-request",
            "events",
            "is empty",
        ),
        (
            "{\"events\": [3]}",
            400,
            "invalid-request",
            "events[0]",
            "invalid type",
        ),
        (
            "{\"events\": [], \"x\": 1}",
            400,
            "invalid-request",
            "x",
            "not known",
        ),
        (
            "{\"events\": [{\"custom\": {\"tpe\": \"A\"}}]}",
            400,
            "invalid-request",
            "events[0].custom.tpe",
            "unknown field",
        ),
        (
            "{\"occurredAt\": \"yesterday\"}",
            400,
            "invalid-request",
            "occurredAt",
            "a time such as",
        ),
    ];
    for (body, status, kind, field, words) in cases {
        let body = Some(("application/json", body.to_owned()));
        let answer = collector.send(Method::POST, "/v1/events", body).await;
        answer.field_problem(status, kind, field, words);
    }
    let too_many = collector.post("/v1/events", &batch(0..1_001)).await;
    too_many.field_problem(
        400,
        "invalid-request",
        "events",
        "holds 1001 events; at most 1000",
    );
    assert_eq!(collector.last_position().await, 0);
    collector.stop().await;
}

#[tokio::test]
async fn other_media_types_and_large_bodies_are_refused() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let xml = Some(("application/xml", "<event/>".to_owned()));
    let answer = collector.send(Method::POST, "/v1/events", xml).await;
    let problem = answer.problem(415, "unsupported-media-type");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("application/xml")
    );
    let none = collector.send(Method::POST, "/v1/events", None).await;
    none.problem(415, "unsupported-media-type");

    let large = format!("\"{}\"", "x".repeat(4 * 1024 * 1024));
    let large = Some(("application/json", large));
    let answer = collector.send(Method::POST, "/v1/events", large).await;
    let problem = answer.problem(413, "too-large");
    assert!(problem["detail"].as_str().unwrap().contains("4 MiB"));
    let accepted = collector.post("/v1/events", &batch(0..1)).await;
    assert_eq!(accepted.status, 201);
    collector.stop().await;
}

/// A typed event has its fields in JSON, in and out; what does not fit its type is refused.
#[tokio::test]
async fn an_event_of_a_registered_type_has_its_fields_in_json() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let folder = Folder::create();
    let source = "syntax = \"proto3\"; package bank.v1;
        message Deposited { string account = 1; int64 cents = 2; }";
    folder.write("bank.proto", source);
    let set = protox::compile(["bank.proto"], [folder.path()]).unwrap();
    let mut types = EventTypesClient::connect(collector.grpc.clone())
        .await
        .unwrap();
    let request = RegisterTypesRequest {
        subject: "bank".to_owned(),
        file_descriptor_set: set.encode_to_vec(),
        ..RegisterTypesRequest::default()
    };
    types.register_types(request).await.unwrap();

    let typed = json!({
        "@type": "type.googleapis.com/bank.v1.Deposited",
        "account": "a \"typed\":{ 1",
        "cents": "9007199254740993",
    });
    let event = |typed: &Value| json!({"sourceService": "Bank", "typed": typed});
    let receipts = collector.post("/v1/events", &event(&typed)).await.ok();
    let id = receipts["receipts"][0]["event_id"].as_str().unwrap();
    let found = collector.get(&format!("/v1/events/{id}")).await.ok();
    assert_eq!(found["typed"], typed);
    let page = "/v1/events?after_position=0&event_type=bank.v1.Deposited";
    assert_eq!(collector.get(page).await.ok()["events"][0], found);

    let mut unfit = typed.clone();
    unfit["cents"] = "much".into();
    let refused = collector.post("/v1/events", &event(&unfit)).await;
    refused.field_problem(400, "invalid-request", "typed", "");
    unfit["@type"] = "type.googleapis.com/bank.v1.Missing".into();
    let unknown = collector.post("/v1/events", &event(&unfit)).await;
    assert_eq!(unknown.status, 400, "{}", unknown.text);
    assert_eq!(collector.last_position().await, 1);
    collector.stop().await;
}
