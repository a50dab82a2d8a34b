//! Starts over what is recorded.

use std::time::Duration;

use sqlx::Executor;
use test_support::eventually;
use threshold_engine::service::{Listeners, Service};

use crate::{
    bed::{Bed, DEADLINE, Form, metrics},
    process::life::Life,
    scenario::{Folder, Script},
};

const SCHEMA: &str = "restarted";

/// A bed on which an engine has consumed so many events.
pub(crate) async fn consumed(events: usize) -> Bed {
    let bed = Bed::create(Folder::with_definitions()).await;
    bed.log
        .append(Script::new(61).drafts(events))
        .await
        .unwrap();
    let life = Life::start(bed.config(SCHEMA), bed.source(Form::Grpc)).await;
    bed.caught_up(&bed.pool(SCHEMA).await).await;
    life.stop().await;
    bed
}

async fn ask(rest: &str, path: &str) -> (u16, String) {
    let asking = reqwest::Client::new().get(format!("{rest}{path}"));
    let answer = asking
        .timeout(Duration::from_secs(10))
        .send()
        .await
        .unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_starts_says_how_far_it_is() {
    let bed = consumed(300).await;
    let mut session = bed.database.connection().await;
    let lock = format!("begin; lock table {SCHEMA}.points in access exclusive mode");
    session.execute(sqlx::AssertSqlSafe(lock)).await.unwrap();
    let config = bed.config(SCHEMA);
    let listeners = Listeners::bind(&config).await.unwrap();
    let rest = format!("http://{}", listeners.addresses().unwrap().rest);
    let sources = vec![bed.source(Form::Grpc)];
    let starting = tokio::spawn(Service::start(config, sources, listeners, metrics()));
    eventually(DEADLINE, async || {
        let (status, text) = ask(&rest, "/readyz").await;
        assert_eq!(status, 503, "{text}");
        text.contains("is being rebuilt from the database: at 0 of")
            && !text.contains("of 0 data points")
    })
    .await;
    let (status, text) = ask(&rest, "/v1/patterns").await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("data points"), "{text}");
    assert_eq!(ask(&rest, "/healthz").await.0, 200);
    session.execute("rollback").await.unwrap();
    let life = Life::of(starting.await.unwrap().unwrap());
    eventually(DEADLINE, async || ask(&rest, "/readyz").await.0 == 200).await;
    let patterns = life.get("/v1/patterns").await;
    assert_eq!(
        patterns["patterns"].as_array().unwrap().len(),
        3,
        "{patterns}"
    );
    life.stop().await;
}

/// Nothing is left to be played: what the engine knows it has of the snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_starts_begins_with_a_snapshot() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let life = Life::start(bed.config(SCHEMA), bed.source(Form::Grpc)).await;
    bed.log.append(Script::new(62).drafts(300)).await.unwrap();
    let pool = bed.pool(SCHEMA).await;
    bed.caught_up(&pool).await;
    let has_all = "select exists (select from snapshots join engine_head
                                  using (last_sequence, changed_by))";
    eventually(DEADLINE, async || {
        let found = sqlx::query_scalar::<_, bool>(has_all);
        found.fetch_one(&pool).await.unwrap()
    })
    .await;
    let mut known = Vec::new();
    for path in [
        "/v1/patterns/alpha-high",
        "/v1/patterns/spread-wide",
        "/v1/regimes",
    ] {
        known.push((path, life.get(path).await));
    }
    assert!(!known[0].1["spells"].as_array().unwrap().is_empty());
    life.stop().await;
    // But the last one, which proves that what came before it was committed.
    let deleted =
        sqlx::query("delete from points where sequence < (select last_sequence from engine_head)");
    assert!(deleted.execute(&pool).await.unwrap().rows_affected() > 100);
    let life = Life::start(bed.config(SCHEMA), bed.source(Form::Grpc)).await;
    for (path, before) in known {
        assert_eq!(life.get(path).await, before);
    }
    bed.log.append(Script::new(63).drafts(5)).await.unwrap();
    bed.caught_up(&pool).await;
    life.stop().await;
}
