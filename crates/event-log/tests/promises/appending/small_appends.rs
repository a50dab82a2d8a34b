//! A few events are appended in one statement, where the head is as it was left. What is stored is the
//! same, and whoever else appends meanwhile is not overlooked.

use atlas_events::Draft;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, Receipt};
use sqlx::Connection;
use test_support::{custom_event, draft};

use crate::{
    appending::large_groups::{of_every_kind, rows},
    common::{TestLog, draft_at, execute},
};

/// Positions are where segments end, so that the last appends complete one.
const BEFORE: u64 = 4_090;
const TOTAL: u64 = 4_100;

pub(crate) async fn append_one(log: &EventLog, n: u64) -> Receipt {
    log.append(vec![draft(custom_event(n))]).await.unwrap()[0]
}

/// A log whose last appends were all its own and just now, so that the next is one statement.
pub(crate) async fn undisturbed(test: &TestLog) -> EventLog {
    let log = test.open().await;
    for n in 0..3 {
        append_one(&log, n).await;
    }
    log
}

pub(crate) type Head = (i64, [Option<DateTime<Utc>>; 3]);

pub(crate) async fn head_and_segments(
    test: &TestLog,
) -> (Head, Vec<(i64, DateTime<Utc>, DateTime<Utc>)>) {
    let mut connection = test.connection().await;
    let (position, latest, segment_earliest, segment_latest) = sqlx::query_as(
        "select last_position, latest_occurred_at, segment_earliest, segment_latest from log_head",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let segments = sqlx::query_as("select segment, earliest, latest from segments")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let head = (position, [latest, segment_earliest, segment_latest]);
    (head, segments)
}

#[tokio::test]
async fn events_one_by_one_are_stored_as_all_at_once() {
    let all = of_every_kind(0..TOTAL);
    let (first, rest) = all.split_at(BEFORE as usize);
    let single = TestLog::create().await;
    let log = single.open().await;
    log.append(first.to_vec()).await.unwrap();
    for (event, position) in rest.iter().zip(BEFORE + 1..) {
        let receipts = log.append(vec![event.clone()]).await.unwrap();
        assert_eq!(
            (receipts[0].position, receipts[0].duplicate),
            (position, false)
        );
        assert_eq!(receipts[0].event_id, event.event_id);
    }

    assert_stored_as_in_one_transaction(&single, all).await;
}

/// What a log holds is what another would to which all was appended at once.
pub(crate) async fn assert_stored_as_in_one_transaction(test: &TestLog, all: Vec<Draft>) {
    let together = TestLog::create().await;
    let log = together.open().await;
    let mut connection = together.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    let appended = log.append_in(&mut transaction, all).await.unwrap();
    transaction.commit().await.unwrap();
    appended.committed();
    assert!(rows(test).await == rows(&together).await);
    assert_eq!(
        head_and_segments(test).await,
        head_and_segments(&together).await
    );
}

#[tokio::test]
async fn a_twin_that_another_process_commits_meanwhile_is_not_stored_again() {
    let test = TestLog::create().await;
    let other = test.open().await;
    let mut connection = test.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    let log = undisturbed(&test).await;
    let theirs = vec![draft(custom_event(10))];
    let appended = other
        .append_in(&mut transaction, theirs.clone())
        .await
        .unwrap();
    // Its snapshot is from before the other's commit; it waits for the head.
    let waiting = tokio::spawn({
        let (log, twin) = (log.clone(), theirs.clone());
        async move { log.append(twin).await.unwrap() }
    });
    test.until_waiting(1).await;
    transaction.commit().await.unwrap();
    appended.committed();
    let receipts = waiting.await.unwrap();
    assert_eq!((receipts[0].position, receipts[0].duplicate), (4, true));
    assert_eq!(append_one(&log, 11).await.position, 5);
    assert_eq!(test.stored().await.len(), 5);
}

#[tokio::test]
async fn a_twin_that_is_stored_or_in_the_same_batch_is_not_stored_again() {
    let test = TestLog::create().await;
    let log = undisturbed(&test).await;
    let again = append_one(&log, 1).await;
    assert_eq!((again.position, again.duplicate), (2, true));
    let batch = [3, 4, 3, 0].map(|n| draft(custom_event(n))).to_vec();
    let receipts = log.append(batch).await.unwrap();
    let reported: Vec<_> = receipts.iter().map(|r| (r.position, r.duplicate)).collect();
    assert_eq!(reported, [(4, false), (5, false), (4, true), (1, true)]);
    assert_eq!(append_one(&log, 5).await.position, 6);
    assert_eq!(test.stored().await.len(), 6);
}

#[tokio::test]
async fn a_session_that_the_server_ended_is_replaced() {
    let test = TestLog::create().await;
    let mut ending = test.connection().await;
    let log = undisturbed(&test).await;
    execute(
        &mut ending,
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .await;
    let receipt = append_one(&log, 3).await;
    assert_eq!((receipt.position, receipt.duplicate), (4, false));
}

/// One whose clock is ahead stores ids that are greater than all that others will make for an hour.
#[tokio::test]
async fn a_publisher_whose_clock_is_ahead_does_not_slow_the_others() {
    let test = TestLog::create().await;
    let now = Utc::now();
    let at = |n: u64, minutes: i64| vec![draft_at(n, now + TimeDelta::minutes(minutes))];
    test.open().await.append(at(0, 59)).await.unwrap();
    // Another process, that has to read which ids are stored.
    let log = test.open().await;
    for n in 1..4 {
        log.append(at(n, 0)).await.unwrap();
    }
    let mut connection = test.connection().await;
    execute(
        &mut connection,
        "create table statements (statement text not null);
         create function note_statement() returns trigger language plpgsql as $$
         begin
             insert into statements values (current_query());
             return null;
         end $$;
         create trigger noted after update on log_head
             for each statement execute function note_statement();",
    )
    .await;
    for n in 4..24 {
        let minutes = if n % 5 == 0 { 59 } else { 0 };
        log.append(at(n, minutes)).await.unwrap();
    }
    let alone: (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where statement like '%insert into events%')
         from statements",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(alone, (20, 20));
    // They are known all the same.
    for (n, minutes, position) in [(0, 59, 1), (5, 59, 6), (6, 0, 7)] {
        let again = log.append(at(n, minutes)).await.unwrap();
        assert_eq!((again[0].position, again[0].duplicate), (position, true));
    }
}
