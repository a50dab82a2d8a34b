//! A publisher can always distinguish what is definitely not stored from what is unknown.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use atlas_events::Draft;
use event_log::{EventLog, LogConfig, LogError, Projection, Sequence};
use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use sqlx::{Connection, PgConnection};
use test_support::{drafts, eventually};
use tokio::time::timeout;
use ulid::Ulid;

use crate::{
    common::{DEADLINE, Place, SCHEMA, TestLog, everything, execute, open, place, places},
    proxy::{Loss, Proxy},
};

/// Finds fault with one event, as a derived table's constraint would.
struct Picky {
    fault: Ulid,
    statement: &'static str,
}

impl Projection for Picky {
    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        events: &'a [(u64, &'a Draft)],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        let faulty = events.iter().any(|(_, draft)| draft.event_id == self.fault);
        async move {
            if faulty {
                sqlx::raw_sql(self.statement).execute(connection).await?;
            }
            Ok(())
        }
        .boxed()
    }
}

/// Appends five batches that wait for the first one and so share a transaction, and returns the
/// outcome of each.
async fn append_grouped(
    test: &TestLog,
    log: &EventLog,
    batches: Vec<Vec<Draft>>,
) -> Vec<Result<Vec<Place>, LogError>> {
    let blocking = test.block_appends().await;
    let first = log.enqueue(drafts(900..901));
    test.until_waiting(1).await;
    let pending: Vec<_> = batches.iter().map(|b| log.enqueue(b.clone())).collect();
    drop(blocking);
    first.await.unwrap();
    let mut outcomes = Vec::new();
    for (pending, batch) in pending.into_iter().zip(&batches) {
        let receipts = timeout(DEADLINE, pending).await.unwrap();
        outcomes.push(receipts.map(|receipts| places(batch, &receipts)));
    }
    outcomes
}

fn five_batches() -> Vec<Vec<Draft>> {
    (0..5).map(|n| drafts(n * 3..n * 3 + 3)).collect()
}

/// Batch 2 of five fails for its data; the others are stored around it.
async fn check_one_fails(test: &TestLog, outcomes: Vec<Result<Vec<Place>, LogError>>) {
    let stored = test.stored().await;
    assert_eq!(stored.len(), 1 + 4 * 3);
    let mut acknowledged = vec![stored[0].clone()];
    for (outcome, index) in outcomes.into_iter().zip(0..) {
        match outcome {
            Ok(places) => acknowledged.extend(places),
            Err(error) => {
                assert_eq!(index, 2, "{error}");
                assert!(matches!(&error, LogError::Database(_)), "{error}");
                assert!(!error.is_transient(), "{error}");
            }
        }
    }
    assert_eq!(acknowledged, stored);
    assert!(stored.iter().map(|(position, _)| *position).eq(1..=13));
}

#[tokio::test]
async fn a_fault_that_a_projection_finds_fails_one_batch_of_a_group() {
    let test = TestLog::create().await;
    let batches = five_batches();
    let picky = Picky {
        fault: batches[2][1].event_id,
        statement: "select 1 / 0",
    };
    let log = test.open_projecting(Arc::new(picky)).await;
    let outcomes = append_grouped(&test, &log, batches).await;
    check_one_fails(&test, outcomes).await;
}

#[tokio::test]
async fn data_that_the_database_refuses_fails_one_batch_of_a_group() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let mut batches = five_batches();
    // Nothing that keeps the rules of the contract is refused; this does not.
    batches[2][1].payload_json = r#"{"text": "\u0000"}"#.to_owned();
    let outcomes = append_grouped(&test, &log, batches).await;
    check_one_fails(&test, outcomes).await;
}

#[tokio::test]
async fn a_fault_of_the_database_fails_the_group_and_stores_nothing() {
    let test = TestLog::create().await;
    let batches = five_batches();
    let picky = Picky {
        fault: batches[2][1].event_id,
        statement: "do $$ begin raise exception 'disk is full' using errcode = '53100'; end $$",
    };
    let log = test.open_projecting(Arc::new(picky)).await;
    for outcome in append_grouped(&test, &log, batches).await {
        let error = outcome.unwrap_err();
        assert!(matches!(error, LogError::Database(_)), "{error}");
        assert!(error.is_transient(), "{error}");
    }
    assert_eq!(test.stored().await.len(), 1);
    // It recovers by itself.
    log.append(drafts(100..101)).await.unwrap();
}

#[tokio::test]
async fn a_full_queue_refuses_and_stores_nothing_of_what_it_refused() {
    let test = TestLog::create().await;
    let log = test
        .open_with(LogConfig {
            queue_events_max: 100,
            ..LogConfig::default()
        })
        .await;
    let blocking = test.block_appends().await;
    let mut accepted = vec![log.enqueue(drafts(0..1))];
    test.until_waiting(1).await;
    accepted.push(log.enqueue(drafts(1..61)));
    accepted.push(log.enqueue(drafts(61..101)));
    for refused in [drafts(500..501), drafts(501..700)] {
        let answer = log.enqueue(refused).now_or_never().unwrap();
        let error = answer.unwrap_err();
        assert!(matches!(error, LogError::Overloaded), "{error}");
        assert!(error.is_transient());
    }
    drop(blocking);
    for pending in accepted {
        pending.await.unwrap();
    }
    assert_eq!(test.stored().await.len(), 101);
    // A batch that alone is larger than the queue is stored when nothing else waits.
    log.append(drafts(1_000..1_200)).await.unwrap();
}

#[tokio::test]
async fn who_finds_the_queue_full_waits_for_room_for_a_stated_time() {
    let test = TestLog::create().await;
    let log = test
        .open_with(LogConfig {
            queue_events_max: 10,
            queue_bytes_max: 1_000_000,
            ..LogConfig::default()
        })
        .await;
    let blocking = test.block_appends().await;
    let first = log.enqueue(drafts(0..1));
    test.until_waiting(1).await;
    let full = log.enqueue(drafts(1..11));
    let refused = log
        .enqueue_within(drafts(11..12), Duration::ZERO, None)
        .await;
    assert!(matches!(refused, Err(LogError::Overloaded)), "{refused:?}");
    let mut waiting = std::pin::pin!(log.enqueue_within(drafts(12..13), DEADLINE, None));
    assert!(futures::poll!(&mut waiting).is_pending());
    let mut sequenced =
        std::pin::pin!(log.enqueue_within(drafts(13..18), DEADLINE, Some(Sequence::new())));
    assert!(futures::poll!(&mut sequenced).is_pending());
    // What calls hold while they wait is bounded: this one is refused at once.
    let large = drafts(100..2_000);
    let refused = log.enqueue_within(large, DEADLINE, None).now_or_never();
    assert!(
        matches!(refused, Some(Err(LogError::Overloaded))),
        "{refused:?}"
    );
    drop(blocking);
    first.await.unwrap();
    full.await.unwrap();
    waiting.await.unwrap().await.unwrap();
    sequenced.await.unwrap().await.unwrap();
    assert_eq!(test.stored().await.len(), 17);
}

#[tokio::test]
async fn nothing_is_stored_behind_a_batch_of_its_sequence_that_was_not() {
    let test = TestLog::create().await;
    let batches = five_batches();
    let picky = Picky {
        fault: batches[2][1].event_id,
        statement: "select 1 / 0",
    };
    let log = test.open_projecting(Arc::new(picky)).await;
    let (ordered, loose) = (Sequence::new(), Sequence::that_goes_on());
    let blocking = test.block_appends().await;
    let first = log.enqueue(drafts(900..901));
    test.until_waiting(1).await;
    let mut pending = Vec::new();
    for (index, batch) in batches.iter().enumerate() {
        // The last but one is another publisher's.
        let sequence = if index == 3 { &loose } else { &ordered };
        let queued = log.enqueue_within(batch.clone(), DEADLINE, Some(sequence.clone()));
        pending.push(queued.await.unwrap());
    }
    drop(blocking);
    first.await.unwrap();
    let outcomes = join_all(pending).await;
    let [Ok(_), Ok(_), Err(fault), Ok(_), Err(behind)] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert!(matches!(fault, LogError::Database(_)), "{fault}");
    assert!(matches!(behind, LogError::PrecedingNotStored), "{behind}");
    // Nor is what comes later.
    let later = log.enqueue_within(drafts(50..51), DEADLINE, Some(ordered));
    let later = later.await.unwrap().await;
    assert!(
        matches!(later, Err(LogError::PrecedingNotStored)),
        "{later:?}"
    );
    assert_eq!(test.stored().await.len(), 1 + 3 * 3);
}

/// A batch that has waited for too long is refused, and so is what its publisher sent after it, although
/// that has waited for less.
#[tokio::test]
async fn nothing_is_stored_behind_a_batch_of_its_sequence_that_came_too_late() {
    let test = TestLog::create().await;
    let append_timeout = Duration::from_secs(5);
    let log = test
        .open_with(LogConfig {
            append_timeout,
            ..LogConfig::default()
        })
        .await;
    let blocking = test.block_appends().await;
    let first = log.enqueue(drafts(900..901));
    test.until_waiting(1).await;
    let ordered = Sequence::new();
    let queue = |n| log.enqueue_within(drafts(n..n + 1), DEADLINE, Some(ordered.clone()));
    let early = queue(0).await.unwrap();
    let begun = Instant::now();
    // Too little is left of the time of one, and enough of that of the other.
    eventually(DEADLINE, async || begun.elapsed() > append_timeout * 2 / 5).await;
    let later = queue(1).await.unwrap();
    eventually(DEADLINE, async || {
        begun.elapsed() > append_timeout * 11 / 20
    })
    .await;
    drop(blocking);
    first.await.unwrap();
    let (early, later) = (early.await, later.await);
    assert!(matches!(early, Err(LogError::Database(_))), "{early:?}");
    assert!(
        matches!(later, Err(LogError::PrecedingNotStored)),
        "{later:?}"
    );
    assert_eq!(test.stored().await.len(), 1);
}

async fn open_by_way_of(proxy: &Proxy, test: &TestLog) -> EventLog {
    let url = proxy.url(&test.database.url());
    open(&url, SCHEMA, LogConfig::default(), None).await
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_found_by_appending_again() {
    let test = TestLog::create().await;
    let proxy = Proxy::start(&test.database.url()).await;
    let log = open_by_way_of(&proxy, &test).await;
    log.append(drafts(0..2)).await.unwrap();
    for (loss, stored, n) in [(Loss::BeforeCommit, false, 2), (Loss::AfterCommit, true, 4)] {
        proxy.plan(&[Some(loss)]);
        let batch = drafts(n..n + 2);
        let error = log.append(batch.clone()).await.unwrap_err();
        assert!(matches!(error, LogError::OutcomeUnknown(_)), "{error}");
        assert!(error.is_transient());
        let receipts = log.append(batch).await.unwrap();
        let reported: Vec<_> = receipts.iter().map(|r| (r.position, r.duplicate)).collect();
        assert_eq!(reported, [(n + 1, stored), (n + 2, stored)], "{loss:?}");
    }
    // What was committed without an answer reaches this process's readers nevertheless.
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    let read = crate::common::read_up_to(&mut follower, 6).await;
    assert_eq!(
        read.iter().map(place).collect::<Vec<_>>(),
        test.stored().await
    );
}

#[tokio::test]
async fn an_unknown_outcome_is_reported_to_the_whole_group() {
    let test = TestLog::create().await;
    let proxy = Proxy::start(&test.database.url()).await;
    let log = open_by_way_of(&proxy, &test).await;
    let blocking = test.block_appends().await;
    let first = log.enqueue(drafts(900..901));
    test.until_waiting(1).await;
    let pending: Vec<_> = five_batches().into_iter().map(|b| log.enqueue(b)).collect();
    proxy.plan(&[None, Some(Loss::AfterCommit)]);
    drop(blocking);
    first.await.unwrap();
    for pending in pending {
        let error = pending.await.unwrap_err();
        assert!(matches!(error, LogError::OutcomeUnknown(_)), "{error}");
    }
    for batch in five_batches() {
        let receipts = log.append(batch).await.unwrap();
        assert!(receipts.iter().all(|receipt| receipt.duplicate));
    }
    assert_eq!(test.stored().await.len(), 16);
}

#[tokio::test]
async fn a_row_that_is_gone_is_a_hole_and_not_silence() {
    let test = TestLog::create().await;
    let log = test.open().await;
    log.append(drafts(0..2_500)).await.unwrap();
    let mut connection = test.connection().await;
    // In the middle of a page, at its end, at the beginning of the next, at the end of the log.
    for gone in [2_500, 1_001, 1_000, 500, 1] {
        sqlx::query("delete from events where position = $1")
            .bind(gone)
            .execute(&mut connection)
            .await
            .unwrap();
        let reader = test.open().await;
        let mut follower = reader.follow_after(0, everything()).await.unwrap();
        let mut last = 0;
        let error = loop {
            match crate::common::next_events(&mut follower).await {
                Ok(events) => {
                    assert!(
                        events
                            .iter()
                            .map(|e| e.position)
                            .eq(last + 1..=last + events.len() as u64)
                    );
                    last += events.len() as u64;
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(error, LogError::Hole { .. }), "{gone}: {error}");
        assert!(last < gone as u64, "{gone}: read up to {last}");
        reader.close().await;
    }
}

#[tokio::test]
async fn appending_nothing_stores_nothing() {
    let test = TestLog::create().await;
    let log = test.open().await;
    assert!(log.append(Vec::new()).await.unwrap().is_empty());
    let mut connection = test.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    assert!(
        log.append_in(&mut transaction, Vec::new())
            .await
            .unwrap()
            .receipts()
            .is_empty()
    );
    transaction.commit().await.unwrap();
    execute(&mut connection, "select 1").await;
    assert_eq!(log.head().await.unwrap().last_position, 0);
}
