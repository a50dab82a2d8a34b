//! Health, metrics, and what is said about requests that fit no route.

use reqwest::Method;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use test_support::{TestDatabase, custom_event, eventually};

use crate::harness::{Collector, DEADLINE};

#[tokio::test]
async fn health_and_readiness() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    assert_eq!(collector.get("/healthz").await.ok()["status"], "alive");
    assert_eq!(collector.get("/readyz").await.ok()["status"], "ready");
    collector.stop().await;
}

/// Has the server refuse every connection to a database, and end those there are.
async fn shut_out(database: &TestDatabase) {
    let url = database.url();
    let (_, name) = url.rsplit_once('/').unwrap();
    let name = name.split('?').next().unwrap();
    let server = std::env::var("ATLAS_TEST_DATABASE_URL").unwrap();
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let close = format!("alter database {name} with allow_connections false");
    connection.execute(AssertSqlSafe(close)).await.unwrap();
    sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
        .bind(name)
        .execute(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn without_its_database_it_is_alive_and_not_ready_and_stores_nothing() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    collector
        .post("/v1/events", &json!(custom_event(0)))
        .await
        .ok();
    shut_out(&database).await;
    eventually(DEADLINE, async || {
        collector.get("/readyz").await.status == 503
    })
    .await;
    let ready = collector.get("/readyz").await;
    ready.problem(503, "database-unavailable");
    assert_eq!(ready.headers["retry-after"], "1");
    let published = collector.post("/v1/events", &json!(custom_event(1))).await;
    let problem = published.problem(503, "database-unavailable");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("nothing was stored")
    );
    assert!(
        !published.text.contains("not currently accepting"),
        "{published:?}"
    );
    collector.get("/healthz").await.ok();
    collector.stop().await;
}

#[tokio::test]
async fn metrics_have_the_promised_names_help_and_buckets() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let published = |text: &str| {
        let line = text
            .lines()
            .find(|l| l.starts_with("fredcollector_events_published_total "));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    collector.get("/readyz").await.ok();
    let before: u64 = published(&collector.get("/metrics").await.text);
    let events = json!({"events": [custom_event(0), custom_event(1)]});
    collector.post("/v1/events", &events).await.ok();
    collector.post("/v1/events", &events).await.ok();
    let answer = collector.get("/metrics").await;
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    let text = answer.text;
    assert!(published(&text) >= before + 2, "{text}");
    for line in [
        "# TYPE fredcollector_events_published_total counter",
        "# TYPE fredcollector_grpc_subscriptions gauge",
        "# TYPE fredcollector_grpc_streaming_latency_seconds histogram",
        "fredcollector_grpc_streaming_latency_seconds_bucket{le=\"0.0005\"}",
        "fredcollector_grpc_streaming_latency_seconds_bucket{le=\"10\"}",
        "event_log_group_events_bucket{log=\"collector\",le=\"1000\"}",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    let described = |name: &str| text.contains(&format!("# HELP {name} "));
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(described(name), "{name} has no help text");
    }
    collector.stop().await;
}

#[tokio::test]
async fn requests_that_fit_no_route_get_problems() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let nowhere = collector.get("/v1/nowhere?x=1").await;
    let problem = nowhere.problem(404, "not-found");
    assert_eq!(problem["instance"], "/v1/nowhere");
    let put = collector.send(Method::PUT, "/v1/log", None).await;
    put.problem(405, "method-not-allowed");
    assert!(put.headers["allow"].to_str().unwrap().contains("GET"));
    let escaped = collector.get("/v1/series/%FF").await;
    escaped.problem(400, "invalid-request");
    collector.stop().await;
}

#[tokio::test]
async fn the_clients_request_id_is_kept() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let url = format!("{}/nowhere", collector.rest);
    let client = reqwest::Client::new();
    let answer = client
        .get(url)
        .header("x-request-id", "mine-7")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine-7");
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["request_id"], "mine-7");
    collector.stop().await;
}
