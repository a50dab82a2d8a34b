//! Alerts that ended long ago are removed, and nothing else.

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::json;
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, cleared, entered},
    receiver::Receiver,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_alerts_are_removed_after_their_time_and_open_ones_stay() {
    let bed = Bed::create(&["alerts.retention_days=32"]).await;
    let receiver = Receiver::start(|_| 200).await;
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    for pattern in ["ended", "open", "waits"] {
        bed.publish(entered(pattern)).await;
    }
    bed.publish(cleared("ended")).await;
    bed.publish(cleared("waits")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 5).await;
    bed.processed().await;
    eventually(DEADLINE, async || {
        let sent = service.get("/v1/deliveries?state=sent").await;
        sent["deliveries"].as_array().unwrap().len() == 5
    })
    .await;
    service.end().await;
    // A message that waits still is about an alert that is kept for it.
    let pool = bed.pool().await;
    sqlx::query(
        "update deliveries set state = 'pending', finished_at = null, not_before = now() + interval '90 days',
             deadline = now() + interval '90 days'
         where kind = 'resolved' and alert_id in (select id from alerts where fingerprint = 'pattern:waits')",
    )
    .execute(&pool)
    .await
    .unwrap();
    let count = async |table: &str| {
        let sql = format!("select count(*) from {table}");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&pool)
            .await
            .unwrap();
        count
    };
    let left = async || {
        let sql = "select fingerprint from alerts order by fingerprint";
        let left: Vec<String> = sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap();
        left
    };
    let before = count("changes").await;
    bed.move_clock(TimeDelta::days(31));
    let service = bed.start().await;
    // Whoever answers has begun to remove.
    service.get("/v1/alerts").await;
    service.end().await;
    assert_eq!(left().await.len(), 3);
    bed.move_clock(TimeDelta::days(2));
    let service = bed.start().await;
    eventually(DEADLINE, async || {
        left().await == ["pattern:open", "pattern:waits"]
    })
    .await;
    assert_eq!(count("deliveries").await, 3);
    assert_eq!(count("changes").await, before - 2);
    let answer = service
        .ask_as(None, Method::GET, "/v1/alerts?state=resolved", None)
        .await;
    assert_eq!(answer.0, StatusCode::OK);
    assert_eq!(answer.1["alerts"].as_array().unwrap().len(), 1);
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_whose_message_stood_for_an_open_one_is_kept_and_an_ended_silence_is_not() {
    let bed = Bed::create(&["alerts.retention_days=32"]).await;
    let receiver = Receiver::start(|_| 200).await;
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    for event in [entered("carrier"), entered("member"), cleared("carrier")] {
        bed.publish(event).await;
    }
    eventually(DEADLINE, async || receiver.accepted().len() == 3).await;
    bed.processed().await;
    eventually(DEADLINE, async || {
        let sent = service.get("/v1/deliveries?state=sent").await;
        sent["deliveries"].as_array().unwrap().len() == 3
    })
    .await;
    let silence = json!({
        "matchers": ["pattern=\"nothing\""], "reason": "r", "ends_at": chrono::Utc::now() + TimeDelta::hours(1),
    });
    service.post("/v1/silences", silence).await;
    service.end().await;
    // As if one message had been sent for both.
    let pool = bed.pool().await;
    let grouped = sqlx::query(
        "update deliveries set state = 'suppressed', suppressed_by = 'grouped', suppressor = (
             select d.id from deliveries d join alerts a on a.id = d.alert_id
             where a.fingerprint = 'pattern:carrier' and d.kind = 'firing')
         where alert_id = (select id from alerts where fingerprint = 'pattern:member')",
    );
    assert_eq!(grouped.execute(&pool).await.unwrap().rows_affected(), 1);
    let count = async |table: &str| {
        let sql = format!("select count(*) from {table}");
        let count: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .fetch_one(&pool)
            .await
            .unwrap();
        count
    };
    bed.move_clock(TimeDelta::days(33));
    let service = bed.start().await;
    // Silences are removed after alerts.
    eventually(DEADLINE, async || count("silences").await == 0).await;
    assert_eq!(count("alerts").await, 2);
    // The member's beginning is known, so its end is sent.
    bed.publish(cleared("member")).await;
    eventually(DEADLINE, async || receiver.accepted().len() == 4).await;
    service.end().await;
    let service = bed.start().await;
    // It ended by the time of its event, which is as old.
    eventually(DEADLINE, async || count("alerts").await == 0).await;
    service.end().await;
}
