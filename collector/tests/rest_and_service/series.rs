//! The registry and the observations, with a stand-in for FRED.

use fred_stand_in::{Fault, Release, StandIn, StandInHandle};
use serde_json::{Value, json};
use test_support::{TestDatabase, eventually, series_event};
use tokio::net::TcpListener;

use crate::harness::{Collector, DEADLINE, KEY};

pub(crate) async fn fred() -> StandInHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fred = StandIn::builder()
        .series(["GDPC1", "UNRATENSA"])
        .rate_limit(None)
        .registered_keys([KEY]);
    fred.start(listener).unwrap()
}

pub(crate) fn asking(fred: &StandInHandle, key: &str) -> Vec<String> {
    vec![
        format!("fred.base_url={}/fred", fred.base_url()),
        format!("fred.api_key={key}"),
    ]
}

/// Adds a series and waits until it has been collected, whoever does that.
async fn add(collector: &Collector, body: Value) {
    let added = collector.post("/v1/series", &body).await;
    assert_eq!(added.status, 201, "{added:?}");
    let path = format!("/v1/series/{}", body["id"].as_str().unwrap());
    eventually(DEADLINE, async || {
        !collector.get(&path).await.ok()["last_success_at"].is_null()
    })
    .await;
}

#[tokio::test]
async fn a_series_is_added_collected_and_shown() {
    let (database, fred) = (TestDatabase::create().await, fred().await);
    let collector = Collector::start_with(&database, &asking(&fred, KEY)).await;
    let body = json!({"id": "GDPC1", "backfill": "2000-01-01", "schedule": "0 9 * * 1"});
    let added = collector.post("/v1/series", &body).await;
    assert_eq!(added.headers["location"], "/v1/series/GDPC1");
    let added = added.ok();
    assert_eq!(added["title"], "Real Gross Domestic Product");
    assert_eq!(added["backfill_from"], "2000-01-01");
    assert_eq!(added["schedule"], "0 9 * * 1");
    eventually(DEADLINE, async || {
        collector.get("/v1/series/GDPC1/latest").await.status == 200
    })
    .await;

    let again = collector.post("/v1/series", &body).await;
    again.field_problem(409, "series-exists", "id", "collected already");
    let list = collector.get("/v1/series").await.ok();
    assert_eq!(list["series"].as_array().unwrap().len(), 1);
    let shown = collector.get("/v1/series/GDPC1").await.ok();
    assert_eq!(shown["consecutive_failures"], 0);
    assert!(shown["known_up_to"].is_string(), "{shown}");

    let deleted = collector.delete("/v1/series/GDPC1").await;
    assert_eq!((deleted.status.as_u16(), deleted.text.as_str()), (204, ""));
    let gone = collector.get("/v1/series/GDPC1").await;
    gone.field_problem(404, "not-found", "id", "is not collected");
    // What was collected stays.
    collector.get("/v1/series/GDPC1/latest").await.ok();
    collector.stop().await;
}

#[tokio::test]
async fn schedules_are_changed_paused_and_resumed() {
    let (database, fred) = (TestDatabase::create().await, fred().await);
    let collector = Collector::start_with(&database, &asking(&fred, KEY)).await;
    add(&collector, json!({"id": "UNRATENSA"})).await;
    let path = "/v1/series/UNRATENSA";
    let changed = collector
        .patch(path, &json!({"schedule": "0 0 1 1 *"}))
        .await
        .ok();
    assert_eq!(changed["schedule"], "0 0 1 1 *");
    assert_eq!(changed["schedule_is_set"], true);
    let default = collector.patch(path, &json!({"schedule": null})).await.ok();
    assert_eq!(default["schedule_is_set"], false);

    let paused = collector
        .post(&format!("{path}/pause"), &json!({}))
        .await
        .ok();
    assert_eq!(
        (&paused["paused"], &paused["next_collection_at"]),
        (&json!(true), &Value::Null)
    );
    let resumed = collector
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .ok();
    assert_eq!(resumed["paused"], false);

    let bad = collector
        .patch(path, &json!({"schedule": "whenever"}))
        .await;
    bad.field_problem(400, "invalid-request", "schedule", "no cron expression");
    let bad = collector.patch(path, &json!({})).await;
    bad.field_problem(400, "invalid-request", "body", "missing field `schedule`");
    collector.stop().await;
}

#[tokio::test]
async fn collecting_and_backfilling_return_what_was_new() {
    let (database, fred) = (TestDatabase::create().await, fred().await);
    let collector = Collector::start_with(&database, &asking(&fred, KEY)).await;
    add(&collector, json!({"id": "GDPC1", "backfill": "2009-01-01"})).await;
    let path = "/v1/series/GDPC1";
    let nothing = collector
        .post(&format!("{path}/collect"), &json!({}))
        .await
        .ok();
    assert_eq!(nothing["data_points"], 0);
    assert_eq!(nothing["first_position"], Value::Null);

    let before = collector.last_position().await;
    let body = json!({"from": "1990-01-01"});
    let brought = collector
        .post(&format!("{path}/backfill"), &body)
        .await
        .ok();
    assert!(
        brought["data_points"].as_u64().unwrap() >= 19 * 4,
        "{brought}"
    );
    assert_eq!(brought["first_position"], before + 1);
    let first = collector
        .get(&format!("{path}/observations?limit=1"))
        .await
        .ok();
    assert_eq!(first["observations"][0]["date"], "1990-01-01");

    let bad = collector
        .post(&format!("{path}/backfill"), &json!({"from": "then"}))
        .await;
    bad.field_problem(400, "invalid-request", "from", "is no backfill");
    collector.stop().await;
}

#[tokio::test]
async fn observations_are_returned_as_known_now_then_and_ever() {
    let (database, fred) = (TestDatabase::create().await, fred().await);
    let collector = Collector::start_with(&database, &asking(&fred, KEY)).await;
    add(
        &collector,
        json!({"id": "UNRATENSA", "backfill": "2015-01-01"}),
    )
    .await;
    let path = "/v1/series/UNRATENSA";
    let before = collector.get(&format!("{path}/latest")).await.ok();
    let date = before["date"].as_str().unwrap().to_owned();
    let revision = Release {
        date: date.parse().unwrap(),
        value: "99.90".to_owned(),
        realtime_start: None,
    };
    fred.release("UNRATENSA", revision).unwrap();
    collector
        .post(&format!("{path}/collect"), &json!({}))
        .await
        .ok();

    let latest = collector.get(&format!("{path}/latest")).await.ok();
    assert_eq!(
        (&latest["date"], &latest["value"]),
        (&before["date"], &json!("99.90"))
    );
    let known_before = before["known_from"].as_str().unwrap();
    let query = format!("{path}/observations?from={date}&as_of={known_before}");
    let then = collector.get(&query).await.ok();
    assert_eq!(then["observations"][0]["value"], before["value"]);
    let ever = collector
        .get(&format!("{path}/observations?from={date}&vintages=true"))
        .await
        .ok();
    let values: Vec<_> = ever["observations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["value"])
        .collect();
    assert_eq!(values, [&before["value"], &json!("99.90")]);
    collector.stop().await;
}

#[tokio::test]
async fn pages_of_observations_hold_each_once() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let mut events = Vec::new();
    for (n, date) in ["2024-01-01", "2024-02-01", "2024-03-01"]
        .iter()
        .enumerate()
    {
        for revision in 0..2 {
            let n = (n * 2 + revision) as u64;
            events.push(series_event(n, "A", date, &format!("{n}.50")));
        }
    }
    collector
        .post("/v1/events", &json!({"events": events}))
        .await
        .ok();
    for (query, expected) in [
        ("", vec!["1.50", "3.50", "5.50"]),
        (
            "&vintages=true",
            vec!["0.50", "1.50", "2.50", "3.50", "4.50", "5.50"],
        ),
        ("&from=2024-02-01&to=2024-02-29", vec!["3.50"]),
    ] {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/v1/series/A/observations?limit=1{query}{after}");
            let page = collector.get(&path).await.ok();
            let observations = page["observations"].as_array().unwrap();
            seen.extend(
                observations
                    .iter()
                    .map(|o| o["value"].as_str().unwrap().to_owned()),
            );
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{query}");
    }
    collector.stop().await;
}

#[tokio::test]
async fn questions_about_observations_that_make_no_sense_are_refused() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let event = series_event(0, "A", "2024-01-01", "1.0");
    collector.post("/v1/events", &json!(event)).await.ok();
    let cases = [
        ("from=soon", "from", "2024-05-01"),
        ("from=2024-02-01&to=2024-01-01", "to", "before from"),
        ("as_of=now", "as_of", "2024-05-01T12:00:00Z"),
        (
            "as_of=2024-01-01&vintages=true",
            "as_of",
            "cannot be combined",
        ),
        ("vintages=yes", "vintages", "`true` or `false`"),
        ("limit=10001", "limit", "from 1 to 10000"),
        ("after=here", "after", "gave as next"),
        ("form=2024-01-01", "form", "unknown field"),
    ];
    for (query, field, words) in cases {
        let answer = collector
            .get(&format!("/v1/series/A/observations?{query}"))
            .await;
        answer.field_problem(400, "invalid-request", field, words);
    }
    for path in ["/v1/series/B/observations", "/v1/series/B/latest"] {
        collector
            .get(path)
            .await
            .field_problem(404, "not-found", "id", "is not collected");
    }
    collector.stop().await;
}

#[tokio::test]
async fn refusals_of_fred_are_reported() {
    let (database, fred) = (TestDatabase::create().await, fred().await);
    let collector = Collector::start_with(&database, &asking(&fred, KEY)).await;
    let post = async |body: Value| collector.post("/v1/series", &body).await;
    post(json!({"id": "NOPE"}))
        .await
        .field_problem(404, "not-found", "id", "FRED knows no series");
    post(json!({"id": "NO PE"}))
        .await
        .field_problem(400, "invalid-request", "id", "no series id");
    post(json!({"id": "GDPC1", "schedule": "soon"}))
        .await
        .field_problem(400, "invalid-request", "schedule", "no cron expression");
    post(json!({"id": "GDPC1", "backfill": "soon"}))
        .await
        .field_problem(400, "invalid-request", "backfill", "is no backfill");
    post(json!({"id": "GDPC1", "bakfill": "all"}))
        .await
        .field_problem(400, "invalid-request", "bakfill", "unknown field");

    for (fault, code) in [
        (Fault::HtmlPage, "MALFORMED_RESPONSE"),
        (Fault::Xml, "MALFORMED_RESPONSE"),
        (Fault::Unavailable, "HTTP_503"),
    ] {
        fred.fail_next(1, fault);
        let problem = post(json!({"id": "GDPC1"}))
            .await
            .problem(502, "source-failed");
        assert_eq!(problem["code"], code);
        assert_eq!(problem["attempts"], 1);
    }
    assert_eq!(collector.get("/v1/series").await.ok()["series"], json!([]));
    collector.stop().await;

    let wrong_key = "f".repeat(32);
    let collector = Collector::start_with(&database, &asking(&fred, &wrong_key)).await;
    let answer = collector.post("/v1/series", &json!({"id": "GDPC1"})).await;
    let problem = answer.problem(502, "source-failed");
    assert_eq!(problem["code"], "KEY_REFUSED");
    assert!(!answer.text.contains(&wrong_key), "{answer:?}");
    collector.stop().await;
}

#[tokio::test]
async fn routes_of_a_series_that_is_not_collected_say_so() {
    let (database, fred) = (TestDatabase::create().await, fred().await);
    let collector = Collector::start_with(&database, &asking(&fred, KEY)).await;
    let answers = [
        collector.get("/v1/series/X").await,
        collector.delete("/v1/series/X").await,
        collector
            .patch("/v1/series/X", &json!({"schedule": null}))
            .await,
        collector.post("/v1/series/X/pause", &json!({})).await,
        collector.post("/v1/series/X/resume", &json!({})).await,
        collector.post("/v1/series/X/collect", &json!({})).await,
        collector
            .post("/v1/series/X/backfill", &json!({"from": "all"}))
            .await,
    ];
    for answer in answers {
        answer.field_problem(404, "not-found", "id", "is not collected");
    }
    collector.stop().await;
}

#[tokio::test]
async fn without_a_key_it_serves_and_says_that_it_does_not_collect() {
    let database = TestDatabase::create().await;
    let seeds = "fred.series=GDPC1,UNRATENSA".to_owned();
    let collector = Collector::start_with(&database, &[seeds]).await;
    let list = collector.get("/v1/series").await.ok();
    assert_eq!(list["series"].as_array().unwrap().len(), 2);
    for (path, body) in [
        ("/v1/series", json!({"id": "VIXCLS"})),
        ("/v1/series/GDPC1/collect", json!({})),
        ("/v1/series/GDPC1/backfill", json!({"from": "all"})),
    ] {
        let problem = collector
            .post(path, &body)
            .await
            .problem(503, "not-collecting");
        assert!(problem["detail"].as_str().unwrap().contains("FRED_API_KEY"));
    }
    let published = series_event(0, "GDPC1", "2024-01-01", "1.0");
    assert_eq!(
        collector.post("/v1/events", &json!(published)).await.status,
        201
    );
    collector.stop().await;
}
