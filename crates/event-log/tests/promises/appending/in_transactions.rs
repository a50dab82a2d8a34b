//! Callers that append in their own transactions, again and again, need one statement for a few
//! events. What is stored is the same, and whatever happens in between is not overlooked.

use atlas_events::Draft;
use event_log::{EventLog, Receipt};
use sqlx::{Connection, PgConnection};
use test_support::drafts;

use crate::{
    appending::{
        large_groups::{of_every_kind, rows},
        small_appends::head_and_segments,
    },
    common::TestLog,
};

/// Positions are where segments end, so that the last appends complete one.
const BEFORE: u64 = 4_090;
const TOTAL: u64 = 4_100;

async fn append_in(
    log: &EventLog,
    connection: &mut PgConnection,
    drafts: Vec<Draft>,
) -> Vec<Receipt> {
    let mut transaction = connection.begin().await.unwrap();
    let appended = log.append_in(&mut transaction, drafts).await.unwrap();
    let receipts = appended.receipts().to_vec();
    transaction.commit().await.unwrap();
    appended.committed();
    receipts
}

async fn append_and_undo(log: &EventLog, connection: &mut PgConnection, drafts: Vec<Draft>) {
    let mut transaction = connection.begin().await.unwrap();
    drop(log.append_in(&mut transaction, drafts).await.unwrap());
    transaction.rollback().await.unwrap();
}

/// How often the head was locked on a connection by a statement that does nothing else.
async fn locks(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select coalesce(sum(generic_plans + custom_plans), 0)::bigint from pg_prepared_statements
         where statement like '%from log_head%for update'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn events_one_by_one_are_stored_as_all_at_once() {
    let all = of_every_kind(0..TOTAL);
    let (first, rest) = all.split_at(BEFORE as usize);
    let single = TestLog::create().await;
    let log = single.open().await;
    let mut connection = single.connection().await;
    append_in(&log, &mut connection, first.to_vec()).await;
    for (event, position) in rest.iter().zip(BEFORE + 1..) {
        let receipts = append_in(&log, &mut connection, vec![event.clone()]).await;
        assert_eq!(
            (receipts[0].position, receipts[0].duplicate),
            (position, false)
        );
    }
    // The first that finds the head where another left it knows that nobody has disturbed it.
    assert_eq!(locks(&mut connection).await, 2);

    let together = TestLog::create().await;
    together.open().await.append(all).await.unwrap();
    assert!(rows(&single).await == rows(&together).await);
    assert_eq!(
        head_and_segments(&single).await,
        head_and_segments(&together).await
    );
}

#[tokio::test]
async fn repeats_and_what_was_undone_or_stored_by_others_are_distinguished_from_new() {
    let test = TestLog::create().await;
    let (log, other) = (test.open().await, test.open().await);
    let mut connection = test.connection().await;
    let one = |n: u64| drafts(n..n + 1);
    for n in 0..5 {
        append_in(&log, &mut connection, one(n)).await;
    }
    let repeat = append_in(&log, &mut connection, one(3)).await;
    assert_eq!((repeat[0].position, repeat[0].duplicate), (4, true));

    append_and_undo(&log, &mut connection, one(10)).await;
    let again = append_in(&log, &mut connection, one(10)).await;
    assert_eq!((again[0].position, again[0].duplicate), (6, false));

    for n in 20..23 {
        append_in(&log, &mut connection, one(n)).await;
    }
    append_and_undo(&log, &mut connection, one(30)).await;
    other.append(one(30)).await.unwrap();
    let twin = append_in(&log, &mut connection, one(30)).await;
    assert_eq!((twin[0].position, twin[0].duplicate), (10, true));
}
