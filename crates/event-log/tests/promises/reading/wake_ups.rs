//! Followers hear of what other processes append: at once by a notification, and by asking the
//! database where one was lost.

use std::time::Duration;

use event_log::{EventLog, Followed, Follower, LogConfig, Uncommitted};
use sqlx::{Connection, PgConnection};
use test_support::{drafts, eventually};

use crate::common::{DEADLINE, TestLog, everything, execute, next, next_events};

/// So long that no test sees it happen.
const NEVER: Duration = Duration::from_secs(3_600);

async fn open_polling(test: &TestLog, poll_interval: Duration) -> EventLog {
    test.open_with(LogConfig {
        poll_interval,
        ..LogConfig::default()
    })
    .await
}

/// A follower that has read everything and waits for more.
async fn live(log: &EventLog) -> Follower {
    let mut follower = log.follow_live(everything()).await.unwrap();
    let caught_up = next(&mut follower).await;
    assert!(matches!(caught_up, Ok(Followed::CaughtUp)));
    follower
}

/// Waits until as many sessions listen.
async fn until_listening(test: &TestLog, sessions: i64) {
    let mut connection = test.connection().await;
    eventually(DEADLINE, async || {
        let listening: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and query like 'LISTEN%' and state = 'idle'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        listening == sessions
    })
    .await;
}

#[tokio::test]
async fn a_notification_wakes_the_followers_of_other_processes() {
    let test = TestLog::create().await;
    let (writer, reader) = (test.open().await, open_polling(&test, NEVER).await);
    until_listening(&test, 2).await;
    let mut follower = live(&reader).await;
    for position in 1..=50 {
        writer.append(drafts(position..position + 1)).await.unwrap();
        assert_eq!(
            next_events(&mut follower).await.unwrap()[0].position,
            position
        );
    }
}

#[tokio::test]
async fn an_event_nobody_was_notified_of_arrives_all_the_same() {
    let test = TestLog::create().await;
    let reader = open_polling(&test, Duration::from_millis(50)).await;
    reader.append(drafts(0..1)).await.unwrap();
    let mut follower = live(&reader).await;
    test.append_silently().await;
    assert_eq!(next_events(&mut follower).await.unwrap()[0].position, 2);
}

#[tokio::test]
async fn a_listener_whose_connection_is_lost_listens_again() {
    let test = TestLog::create().await;
    let writer = test.open().await;
    let reader = open_polling(&test, Duration::from_millis(100)).await;
    let mut connection = test.database.connection().await;
    let mut follower = live(&reader).await;
    for position in 1..=5 {
        until_listening(&test, 2).await;
        execute(
            &mut connection,
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and query like 'LISTEN%'",
        )
        .await;
        writer.append(drafts(position..position + 1)).await.unwrap();
        assert_eq!(
            next_events(&mut follower).await.unwrap()[0].position,
            position
        );
    }
}

/// While a process appends it takes notifications for its own; one of another process that comes
/// just then must not be forgotten, even if its own append stores nothing in the end.
#[tokio::test]
async fn a_notification_during_an_append_of_repeats_is_not_forgotten() {
    let test = TestLog::create().await;
    let (other, reader) = (test.open().await, open_polling(&test, NEVER).await);
    let known = drafts(0..1_000);
    reader.append(known.clone()).await.unwrap();
    until_listening(&test, 2).await;
    let mut follower = live(&reader).await;
    for round in 0..5 {
        let mut connection = test.connection().await;
        let mut transaction = connection.begin().await.unwrap();
        let fresh = drafts(2_000 + round..2_001 + round);
        let appended = other.append_in(&mut transaction, fresh).await.unwrap();
        let repeats = reader.enqueue(known.clone());
        test.until_waiting(1).await;
        transaction.commit().await.unwrap();
        appended.committed();
        assert!(repeats.await.unwrap().iter().all(|r| r.duplicate));
        assert_eq!(
            next_events(&mut follower).await.unwrap()[0].position,
            1_001 + round
        );
    }
}

/// Commits a transaction with one event; the log has not been notified yet.
async fn commit_one(log: &EventLog, connection: &mut PgConnection, n: u64) -> Uncommitted {
    let mut transaction = connection.begin().await.unwrap();
    let appended = log.append_in(&mut transaction, drafts(n..n + 1)).await;
    transaction.commit().await.unwrap();
    appended.unwrap()
}

/// Events that a caller's own transaction stores come from the caller, once it knows of the commit,
/// and not from the database.
#[tokio::test]
async fn what_a_callers_transaction_stored_is_not_read_again() {
    let test = TestLog::create().await;
    let log = open_polling(&test, NEVER).await;
    until_listening(&test, 1).await;
    let mut follower = live(&log).await;
    let mut connection = test.connection().await;
    for position in 1..=10 {
        let appended = commit_one(&log, &mut connection, position).await;
        let mut other = test.connection().await;
        let mut unreadable = other.begin().await.unwrap();
        execute(
            &mut unreadable,
            "lock table log_head in access exclusive mode",
        )
        .await;
        appended.committed();
        let received = next_events(&mut follower).await.unwrap();
        assert_eq!(received[0].position, position);
        unreadable.rollback().await.unwrap();
    }
}

/// A caller may never learn what became of its transaction. Its readers do, from the database.
#[tokio::test]
async fn a_commit_that_its_caller_says_nothing_of_is_found() {
    let test = TestLog::create().await;
    let log = open_polling(&test, NEVER).await;
    let elsewhere = open_polling(&test, NEVER).await;
    until_listening(&test, 2).await;
    let (mut follower, mut first) = (live(&log).await, live(&elsewhere).await);
    let mut connection = test.connection().await;
    for position in 1..=10 {
        let appended = commit_one(&log, &mut connection, position).await;
        // By now it has been announced here too, and the notification is outstanding.
        next_events(&mut first).await.unwrap();
        drop(appended);
        let received = next_events(&mut follower).await.unwrap();
        assert_eq!(received[0].position, position);
    }
}

/// What was undone is not announced, and what comes in its place is.
#[tokio::test]
async fn an_undone_transaction_of_a_caller_leaves_no_trace() {
    let test = TestLog::create().await;
    let (other, log) = (test.open().await, open_polling(&test, NEVER).await);
    until_listening(&test, 2).await;
    let mut follower = live(&log).await;
    let mut connection = test.connection().await;
    for position in 1..=10 {
        let mut transaction = connection.begin().await.unwrap();
        let undone = drafts(1_000 + position..1_001 + position);
        let appended = log.append_in(&mut transaction, undone).await.unwrap();
        transaction.rollback().await.unwrap();
        let kept = drafts(position..position + 1);
        let receipts = other.append(kept).await.unwrap();
        drop(appended);
        let received = next_events(&mut follower).await.unwrap();
        assert_eq!(received[0].position, position);
        assert_eq!(received[0].event_id, receipts[0].event_id.to_string());
    }
}
