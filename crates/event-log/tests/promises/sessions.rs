//! What a session has does not depend on what lies between it and the server.

use event_log::EventLog;
use test_support::drafts;

use crate::{
    common::{SCHEMA, TestLog, pool},
    proxy::Proxy,
};

/// As PgBouncer does with `ignore_startup_parameters = options`.
#[tokio::test]
async fn a_pooler_that_drops_the_options_does_not_lead_into_another_schema() {
    let test = TestLog::create().await;
    let url = test.database.url();
    let proxy = Proxy::start(&url).await;
    proxy.strip_options();
    let pool = pool(&proxy.url(&url), SCHEMA).await;
    let log = EventLog::open(pool.clone(), Default::default(), None)
        .await
        .unwrap();
    // By way of the pool, and by that of the appender.
    log.append(drafts(0..100)).await.unwrap();
    assert_eq!(log.head().await.unwrap().last_position, 100);
    let (plan, silence): (String, String) = sqlx::query_as(
        "select current_setting('plan_cache_mode'),
                current_setting('idle_in_transaction_session_timeout')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        (plan.as_str(), silence.as_str()),
        ("force_custom_plan", "5s")
    );
    let elsewhere: i64 = sqlx::query_scalar(
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace
             and relname in ('events', 'log_head', 'event_log_migrations')",
    )
    .fetch_one(&mut test.database.connection().await)
    .await
    .unwrap();
    assert_eq!(elsewhere, 0);
}

#[tokio::test]
async fn a_session_whose_schema_is_gone_is_refused() {
    let test = TestLog::create().await;
    let pool = pool(&test.database.url(), SCHEMA).await;
    sqlx::raw_sql("drop schema log cascade")
        .execute(&mut test.database.connection().await)
        .await
        .unwrap();
    let mut first = pool.acquire().await.map(|_| ());
    // What is not refused is what would work in `public`.
    if let Ok(()) = first {
        first = sqlx::raw_sql("create table events (n int)")
            .execute(&pool)
            .await
            .map(|_| ());
    }
    assert!(first.is_err());
}
