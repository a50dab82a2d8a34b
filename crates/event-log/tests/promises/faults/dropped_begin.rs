//! A `begin` that is dropped before its answer must not leave its transaction to the next user of
//! the connection, whose writes would never be committed.

use std::{future::Future, pin::pin, task::Poll};

use test_support::TestDatabase;

use crate::proxy::Proxy;

#[tokio::test]
async fn what_is_stored_after_a_dropped_begin_is_committed() {
    let database = TestDatabase::create().await;
    let pool = event_log::connect(&database.url(), "log", 1).await.unwrap();
    sqlx::raw_sql("create table kept (n int)")
        .execute(&pool)
        .await
        .unwrap();
    for polls in 1..20 {
        begin_and_drop_after(&pool, polls).await;
        sqlx::raw_sql("insert into kept values (1)")
            .execute(&pool)
            .await
            .unwrap();
    }
    let mut elsewhere = database.connection().await;
    let kept: i64 = sqlx::query_scalar("select count(*) from log.kept")
        .fetch_one(&mut elsewhere)
        .await
        .unwrap();
    assert_eq!(kept, 19);
}

/// Begins a transaction, but loses interest after having polled for it some times.
async fn begin_and_drop_after(pool: &sqlx::PgPool, polls: usize) {
    let mut begun = pin!(pool.begin());
    let mut left = polls;
    std::future::poll_fn(|context| {
        left -= 1;
        let ready = begun.as_mut().poll(context).is_ready();
        if ready || left == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// The server writes a warning into its log for a rollback where there is nothing to undo.
#[tokio::test]
async fn a_connection_that_comes_back_without_a_transaction_is_not_rolled_back() {
    let database = TestDatabase::create().await;
    let proxy = Proxy::start(&database.url()).await;
    let url = proxy.url(&database.url());
    let pool = event_log::connect(&url, "log", 1).await.unwrap();
    let before = proxy.rollbacks();
    for _ in 0..20 {
        sqlx::raw_sql("select 1").execute(&pool).await.unwrap();
        let transaction = pool.begin().await.unwrap();
        transaction.commit().await.unwrap();
    }
    assert_eq!(proxy.rollbacks(), before);
    drop(pool.begin().await.unwrap());
    sqlx::raw_sql("select 1").execute(&pool).await.unwrap();
    assert_eq!(proxy.rollbacks(), before + 1);
}
