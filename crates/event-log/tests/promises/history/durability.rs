use event_log::LogError;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use test_support::{drafts, eventually};

use super::ended_sessions;
use crate::common::{DEADLINE, TestLog, everything, execute};

async fn set_for_database(connection: &mut PgConnection, setting: &str) {
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let statement = format!("set transaction_read_only = off; alter database {name} {setting}");
    let set = sqlx::raw_sql(AssertSqlSafe(statement));
    set.execute(connection).await.unwrap();
}

/// Whatever the database's own settings are, and however events are stored.
#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    for (setting, expected) in [
        ("off", "on"),
        ("local", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        let test = TestLog::create().await;
        let mut connection = test.database.connection().await;
        set_for_database(
            &mut connection,
            &format!("set synchronous_commit = {setting}"),
        )
        .await;
        let log = test.open().await;
        execute(
            &mut connection,
            "create table log.seen (setting text);
             create function log.see() returns trigger language plpgsql as $$
                 begin
                     insert into log.seen values (current_setting('synchronous_commit'));
                     return null;
                 end $$;
             create constraint trigger at_commit after update on log.log_head
                 deferrable initially deferred for each row execute function log.see()",
        )
        .await;
        // Under the lock, then a few at a time, then many, and in a caller's transaction.
        for n in 0..5 {
            log.append(drafts(n..n + 1)).await.unwrap();
        }
        for n in 1..5 {
            log.append(drafts(100 * n..100 * n + 80)).await.unwrap();
        }
        let mut own = test.connection().await;
        let mut transaction = own.begin().await.unwrap();
        let uncommitted = log
            .append_in(&mut transaction, drafts(1_000..1_001))
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        uncommitted.committed();
        let seen: Vec<String> = sqlx::query_scalar("select setting from log.seen")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert_eq!(seen, vec![expected.to_owned(); 10], "{setting}");
    }
}

/// As of a server whose disk is full, or of one that has just become a standby.
#[tokio::test]
async fn a_server_that_takes_no_writes_stores_nothing_and_recovers() {
    let test = TestLog::create().await;
    let log = test.open().await;
    log.append(drafts(0..10)).await.unwrap();
    let mut connection = ended_sessions(&test).await;
    set_for_database(&mut connection, "set default_transaction_read_only = on").await;
    let mut connection = ended_sessions(&test).await;
    // A session that was made before may take it still.
    let mut stored = 10;
    let refused = loop {
        match log.append(drafts(stored..stored + 1)).await {
            Ok(_) => stored += 1,
            Err(LogError::OutcomeUnknown(_)) => {}
            Err(error) => break error,
        }
    };
    assert!(refused.is_transient(), "{refused}");
    // What is stored can be read.
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    assert_eq!(crate::common::read_up_to(&mut follower, 10).await.len(), 10);
    set_for_database(&mut connection, "reset default_transaction_read_only").await;
    ended_sessions(&test).await;
    eventually(DEADLINE, async || {
        log.append(drafts(100..101)).await.is_ok()
    })
    .await;
}
