//! A process that falls silent while it brings the tables up to date: others start all the same.

use event_log::{EventLog, LogConfig};
use sqlx::PgConnection;
use test_support::{Link, eventually};
use tokio::time::timeout;

use crate::common::{DEADLINE, SCHEMA, TestLog, execute, pool};

/// Whether somebody migrates, or waits to.
async fn is_locked(connection: &mut PgConnection) -> bool {
    sqlx::query_scalar(
        "select exists (
             select from pg_locks join pg_database on pg_database.oid = database
             where locktype = 'advisory' and datname = current_database()
         )",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_process_that_falls_silent_while_it_migrates_keeps_nobody_from_starting() {
    let test = TestLog::create().await;
    test.open().await.close().await;
    let mut sql = test.connection().await;
    execute(
        &mut sql,
        "begin; set local idle_in_transaction_session_timeout = 0; lock table event_log_migrations",
    )
    .await;
    let link = Link::to(&test.database.url()).await;
    let through = pool(&link.url(&test.database.url()), SCHEMA).await;
    let silent = tokio::spawn(EventLog::open(through, LogConfig::default(), None));
    let mut watching = test.connection().await;
    eventually(DEADLINE, async || is_locked(&mut watching).await).await;
    // Its statement ends, and the answer never arrives.
    link.forget_connections();
    execute(&mut sql, "rollback").await;
    assert!(is_locked(&mut watching).await);
    let log = timeout(DEADLINE, test.open()).await.unwrap();
    assert_eq!(log.head().await.unwrap().last_position, 0);
    silent.abort();
}
