//! A service is ready once its rules are loaded and its sources are followed.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use test_support::eventually;

use crate::bed::{Bed, DEADLINE, Running};

async fn readiness(service: &Running) -> (StatusCode, String) {
    let (status, body) = service.ask_as(None, Method::GET, "/readyz", None).await;
    let detail = body["detail"].as_str().unwrap_or_default().to_owned();
    (status, detail)
}

async fn eventually_unready(service: &Running, why: &str) {
    eventually(DEADLINE, async || {
        let (status, detail) = readiness(service).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{detail}");
        detail.contains(why)
    })
    .await;
}

async fn eventually_ready(service: &Running) {
    eventually(DEADLINE, async || {
        readiness(service).await.0 == StatusCode::OK
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_rules() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    eventually_ready(&service).await;
    service.end().await;
    // Whoever loads rules locks this row.
    let pool = bed.pool().await;
    let mut holding = pool.begin().await.unwrap();
    let held: Result<i64, _> = sqlx::query_scalar("select edit from series_head for update")
        .fetch_one(&mut *holding)
        .await;
    held.unwrap();
    let service = bed.start().await;
    eventually_unready(&service, "rules are being loaded").await;
    let alerts: Value = service.get("/v1/alerts").await;
    assert!(alerts["alerts"].as_array().unwrap().is_empty());
    holding.rollback().await.unwrap();
    eventually_ready(&service).await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_waits_for_its_sources() {
    let bed = Bed::create(&[]).await;
    let address = "consumer.sources=collector=http://127.0.0.1:1".to_owned();
    let service = bed.start_following(&[address], None).await;
    eventually_unready(&service, "the log of collector").await;
    service.end().await;
}
