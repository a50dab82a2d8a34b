//! An acknowledged event has been committed and is readable at its position.

use event_log::LogError;
use futures::future::join_all;
use test_support::{custom_event, draft, drafts, eventually};

use crate::common::{DEADLINE, TestLog, everything, place, places, read_up_to};

#[tokio::test]
async fn what_is_acknowledged_is_read_whole_by_another_process() {
    let test = TestLog::create().await;
    let writer = test.open().await;
    let reader = test.open().await;
    let appended = drafts(0..300);
    let receipts = writer.append(appended.clone()).await.unwrap();

    // Each of the two readers has its own way to the events: memory here, the database there.
    for log in [writer, reader, test.open().await] {
        let mut follower = log.follow_after(0, everything()).await.unwrap();
        let read = read_up_to(&mut follower, 300).await;
        for ((event, receipt), n) in read.iter().zip(&receipts).zip(0..) {
            let mut expected = custom_event(n);
            expected.position = receipt.position;
            expected.recorded_at = Some(receipt.recorded_at.into());
            assert_eq!(event, &expected);
            let found = log.find(expected.event_id.parse().unwrap()).await.unwrap();
            assert_eq!(found, Some(expected));
        }
        assert_eq!(read.len(), 300);
    }
    assert_eq!(places(&appended, &receipts), test.stored().await);
}

#[tokio::test]
async fn closing_stores_and_answers_all_that_was_queued() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let batches: Vec<_> = (0..200).map(|n| drafts(n * 10..n * 10 + 10)).collect();
    let pending: Vec<_> = batches.iter().map(|b| log.enqueue(b.clone())).collect();
    log.close().await;
    let receipts = join_all(pending).await;
    let acknowledged: Vec<_> = batches
        .iter()
        .zip(receipts)
        .flat_map(|(batch, receipts)| places(batch, &receipts.unwrap()))
        .collect();

    let late = log.append(vec![draft(custom_event(9_999))]).await;
    assert!(matches!(late, Err(LogError::Closed)), "{late:?}");

    let reopened = test.open().await;
    let mut follower = reopened.follow_after(0, everything()).await.unwrap();
    let read = read_up_to(&mut follower, 2_000).await;
    assert_eq!(read.iter().map(place).collect::<Vec<_>>(), acknowledged);
    assert_eq!(acknowledged, test.stored().await);
}

#[tokio::test]
async fn commits_are_flushed_to_disk() {
    let test = TestLog::create().await;
    test.open().await;
    let mut connection = test.connection().await;
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(value, "on", "{setting}");
    }
}

#[tokio::test]
async fn a_log_that_is_dropped_stores_what_was_queued_and_leaves_nothing_behind() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let pending: Vec<_> = (0..50).map(|n| log.enqueue(drafts(n..n + 1))).collect();
    drop(log);
    for receipts in join_all(pending).await {
        receipts.unwrap();
    }
    let mut connection = test.database.connection().await;
    eventually(DEADLINE, async || {
        let sessions: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and application_name = 'atlas log'",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        sessions == 0
    })
    .await;
    assert_eq!(test.stored().await.len(), 50);
}
