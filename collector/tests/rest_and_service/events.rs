//! `GET /v1/events` and `/v1/log`: pages, filters, cursors.

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use test_support::{
    TestDatabase, custom_event, custom_event_at, eventually, series_event, started_at,
};

use crate::harness::{Answer, Collector, DEADLINE};

fn positions(page: &Value) -> Vec<u64> {
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["position"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[track_caller]
fn check_positions(answer: &Answer, expected: impl IntoIterator<Item = u64>) {
    let expected: Vec<_> = expected.into_iter().collect();
    assert_eq!(positions(&answer.ok()), expected, "{answer:?}");
}

#[tokio::test]
async fn pages_hold_every_event_once_in_order() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let events: Vec<_> = (0..25).map(custom_event).collect();
    collector
        .post("/v1/events", &json!({"events": events}))
        .await
        .ok();
    let mut seen = Vec::new();
    let mut path = "/v1/events?limit=10".to_owned();
    let last = loop {
        let page = collector.get(&path).await.ok();
        seen.extend(positions(&page));
        match page["next"].as_u64() {
            Some(next) => path = format!("/v1/events?limit=10&after_position={next}"),
            None => break page,
        }
    };
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
    assert_eq!(last["up_to"], 25);

    let exact = collector.get("/v1/events?limit=25").await.ok();
    assert_eq!(exact["next"], Value::Null);
    let later = collector.post("/v1/events", &json!(custom_event(25))).await;
    assert_eq!(later.status, 201);
    check_positions(&collector.get("/v1/events?after_position=25").await, [26]);
    collector.stop().await;
}

#[tokio::test]
async fn filters_and_times_select() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let events = json!({"events": [
        custom_event(0),
        series_event(1_000, "UNRATE", "2024-01-01", "4.1"),
        series_event(2_000, "VIXCLS", "2024-01-01", "13.5"),
        custom_event(3_000),
    ]});
    collector.post("/v1/events", &events).await.ok();
    let at = |seconds: i64| {
        let time = started_at() - TimeDelta::days(1) + TimeDelta::seconds(seconds);
        time.to_rfc3339_opts(SecondsFormat::Millis, true)
    };
    let cases: Vec<(String, Vec<u64>)> = vec![
        ("event_type=SeriesCollectedEvent".into(), vec![2, 3]),
        (
            "event_type=SeriesCollectedEvent&event_type=custom:Test".into(),
            vec![1, 2, 3, 4],
        ),
        ("event_type=custom:Other".into(), vec![]),
        ("series_id=VIXCLS".into(), vec![3]),
        ("series_id=VIXCLS&series_id=UNRATE".into(), vec![2, 3]),
        (format!("since={}", at(1)), vec![2, 3, 4]),
        (format!("since={}&until={}", at(1), at(3)), vec![2, 3]),
        (format!("until={}", at(1)), vec![1]),
        (format!("until={}&after_position=1", at(3)), vec![2, 3]),
        (format!("since={}", at(9)), vec![]),
    ];
    for (query, expected) in cases {
        let answer = collector.get(&format!("/v1/events?{query}")).await;
        check_positions(&answer, expected);
        assert_eq!(answer.ok()["next"], Value::Null, "{query}");
        assert_eq!(answer.ok()["up_to"], 4, "{query}");
    }
    collector.stop().await;
}

#[tokio::test]
async fn a_reader_finds_what_another_collector_stored() {
    let database = TestDatabase::create().await;
    let slow = "events.poll_interval_milliseconds=60000".to_owned();
    let first = Collector::start(&database).await;
    let second = Collector::start_with(&database, &[slow]).await;
    assert_eq!(second.last_position().await, 0);
    for n in 0..20 {
        first.post("/v1/events", &json!(custom_event(n))).await.ok();
        let answer = second.get(&format!("/v1/events?after_position={n}")).await;
        check_positions(&answer, [n + 1]);
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn questions_that_make_no_sense_are_refused() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let kind = "invalid-request";
    let cases = [
        ("since=yesterday", kind, "since", "2024-05-01T12:00:00Z"),
        ("since=2024-02-30", kind, "since", "2024-05-01T12:00:00Z"),
        (
            "since=2024-05-02&until=2024-05-01",
            kind,
            "until",
            "before since",
        ),
        ("limit=0", kind, "limit", "from 1 to 1000"),
        ("limit=1001", kind, "limit", "from 1 to 1000"),
        ("limit=many", kind, "limit", "invalid digit"),
        ("after_position=-1", kind, "after_position", "invalid digit"),
        (
            "event_type=Nope",
            kind,
            "event_type[0]",
            "RegimeTransitionEvent",
        ),
        ("series_id=", kind, "series_id[0]", "is required"),
        ("limti=5", kind, "limti", "unknown field"),
        (
            "after_position=1",
            "beyond-head",
            "after_position",
            "last position, 0",
        ),
    ];
    for (query, kind, field, words) in cases {
        let answer = collector.get(&format!("/v1/events?{query}")).await;
        answer.field_problem(400, kind, field, words);
    }
    let long = format!("/v1/events?series_id={}", "x".repeat(51));
    collector
        .get(&long)
        .await
        .field_problem(400, kind, "series_id[0]", "more than 50");
    collector.get("/v1/events/nonsense").await.field_problem(
        400,
        kind,
        "event_id",
        "is not a ULID",
    );
    collector
        .get("/v1/events/01ARZ3NDEKTSV4RRFFQ69G5FAV")
        .await
        .field_problem(404, "not-found", "event_id", "holds no such event");
    collector.stop().await;
}

#[tokio::test]
async fn what_retention_removed_is_gone_and_not_silently_absent() {
    let database = TestDatabase::create().await;
    let keep_all = "events.retention_days=0".to_owned();
    let collector = Collector::start_with(&database, &[keep_all]).await;
    let old = Utc::now() - TimeDelta::days(60);
    let events = json!({"events": [custom_event_at(0, old), custom_event(1)]});
    collector.post("/v1/events", &events).await.ok();
    collector.stop().await;

    let keep_week = "events.retention_days=7".to_owned();
    let collector = Collector::start_with(&database, &[keep_week]).await;
    eventually(DEADLINE, async || {
        collector.get("/v1/log").await.ok()["first_position"] == 2
    })
    .await;
    let gone = collector.get("/v1/events?after_position=0").await;
    let gone = gone.problem(410, "trimmed");
    assert_eq!(gone["errors"][0]["field"], "after_position");
    assert_eq!(gone["first_position"], 2);
    let since = old.to_rfc3339_opts(SecondsFormat::Secs, true);
    let gone = collector.get(&format!("/v1/events?since={since}")).await;
    let gone = gone.problem(410, "trimmed");
    assert_eq!(gone["errors"][0]["field"], "since");
    assert!(gone["kept_since"].is_string(), "{gone}");
    check_positions(&collector.get("/v1/events").await, [2]);
    collector.stop().await;
}

#[tokio::test]
async fn log_info_is_returned() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let empty = collector.get("/v1/log").await.ok();
    assert_eq!(
        (&empty["first_position"], &empty["last_position"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(empty["latest_occurred_at"], Value::Null);
    assert!(empty["edition"].as_str().unwrap().contains('.'), "{empty}");
    collector
        .post("/v1/events", &json!(custom_event(7)))
        .await
        .ok();
    let log = collector.get("/v1/log").await.ok();
    assert_eq!(log["last_position"], 1);
    assert_eq!(log["log_id"], empty["log_id"]);
    let event = collector.get("/v1/events").await.ok()["events"][0].clone();
    assert_eq!(log["latest_occurred_at"], event["occurredAt"]);
    assert_eq!(log["latest_recorded_at"], event["recordedAt"]);
    collector.stop().await;
}

/// What no database can look up is the client's mistake, and no reason to try again.
#[tokio::test]
async fn nul_characters_and_dates_out_of_range_are_refused() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    for path in [
        "/v1/series/UN%00RATE",
        "/v1/series/UN%00RATE/observations",
        "/v1/series/UNRATE/observations?from=%2B12024-01-01",
        "/v1/series/UNRATE/observations?from=-4800-01-01",
        "/v1/series/UNRATE/observations?as_of=%2B200000-01-01",
        "/v1/events?type=%00",
        "/v1/events?since=%2B262142-12-31",
    ] {
        let answer = collector.get(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    collector.stop().await;
}
