//! A publisher can always tell what is definitely not stored from what is unknown.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use atlas_events::Draft;
use event_log::{EventLog, LogConfig, LogError, Projection, Sequence};
use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sqlx::{Connection, PgConnection};
use test_support::{custom_event, draft, drafts, eventually};
use tokio::{task::JoinHandle, time::timeout};
use ulid::Ulid;

use crate::{
    common::{DEADLINE, Place, SCHEMA, TestLog, events, everything, execute, open, place, places},
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

/// Appends five batches that wait for the first one and so share a transaction, and tells what
/// became of each.
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
        let told: Vec<_> = receipts.iter().map(|r| (r.position, r.duplicate)).collect();
        assert_eq!(told, [(n + 1, stored), (n + 2, stored)], "{loss:?}");
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
async fn an_unknown_outcome_is_told_to_the_whole_group() {
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

const WRITERS: u64 = 4;
const BATCHES: u64 = 16;

/// What became of one writer's events.
#[derive(Default)]
struct Outcome {
    acknowledged: Vec<Place>,
    refused: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_killed_leave_every_answer_true() {
    kill_connections(2).await;
}

/// Nobody else moves its head, so that it stores small groups at once and large ones ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_do_those_of_a_process_that_is_alone() {
    kill_connections(1).await;
}

async fn kill_connections(processes: u64) {
    let test = TestLog::create().await;
    let logs = join_all((0..processes).map(|_| test.open())).await;
    let stop = Arc::new(AtomicBool::new(false));
    let followers: Vec<_> = logs.iter().map(|log| follow(log.clone(), &stop)).collect();
    let answered = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let log = logs[(writer % processes) as usize].clone();
            tokio::spawn(write(log, writer, Arc::clone(&answered)))
        })
        .collect();
    let done = || writers.iter().all(JoinHandle::is_finished);
    let killed = timeout(DEADLINE, kill_until(&test, &answered, done))
        .await
        .unwrap();

    let mut acknowledged = Vec::new();
    let mut refused = Vec::new();
    for writer in writers {
        let outcome = writer.await.unwrap();
        acknowledged.extend(outcome.acknowledged);
        refused.extend(outcome.refused);
    }
    acknowledged.sort_unstable();
    let stored = test.stored().await;
    assert_eq!(acknowledged, stored);
    assert!(stored.iter().map(|(p, _)| *p).eq(1..=stored.len() as u64));
    assert!(stored.iter().all(|(_, id)| !refused.contains(id)));
    assert!(
        killed > 10 && !refused.is_empty(),
        "{killed} {}",
        refused.len()
    );

    stop.store(true, Ordering::Release);
    logs[0]
        .append(vec![draft(custom_event(999_999))])
        .await
        .unwrap();
    let stored = test.stored().await;
    for follower in followers {
        assert_eq!(timeout(DEADLINE, follower).await.unwrap().unwrap(), stored);
    }
}

async fn write(log: EventLog, writer: u64, answered: Arc<AtomicUsize>) -> Outcome {
    let mut outcome = Outcome::default();
    for batch in 0..BATCHES {
        let first = (writer * BATCHES + batch) * 100;
        // Small and large groups are stored in different ways.
        let batch = drafts(first..first + if batch % 2 == 0 { 10 } else { 100 });
        loop {
            match log.append(batch.clone()).await {
                Ok(receipts) => outcome.acknowledged.extend(places(&batch, &receipts)),
                Err(LogError::OutcomeUnknown(_)) => continue,
                Err(_) => {
                    let ids = batch.iter().map(|draft| draft.event_id.to_string());
                    outcome.refused.extend(ids);
                }
            }
            break;
        }
        answered.fetch_add(1, Ordering::Release);
    }
    outcome
}

/// Ends one connection of the log after another, at most one for each answer, so that a slow
/// machine gets on too.
async fn kill_until(test: &TestLog, answered: &AtomicUsize, done: impl Fn() -> bool) -> usize {
    let mut random = StdRng::seed_from_u64(9);
    let mut connection = test.database.connection().await;
    let mut killed = 0;
    let mut answers = 0;
    while !done() {
        let sessions: Vec<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity
             where datname = current_database() and application_name = 'atlas log'",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        if let Some(session) = sessions.choose(&mut random) {
            let ended: bool = sqlx::query_scalar("select pg_terminate_backend($1)")
                .bind(session)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            killed += usize::from(ended);
        }
        // Long enough that some appends succeed between two kills.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8))).await;
        let has_answered = async || answered.load(Ordering::Acquire) != answers || done();
        eventually(DEADLINE, has_answered).await;
        answers = answered.load(Ordering::Acquire);
    }
    killed
}

/// Follows from the beginning, whatever happens to connections, until something comes after `stop`.
fn follow(log: EventLog, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<Place>> {
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let mut follower = loop {
            if let Ok(follower) = log.follow_after(0, everything()).await {
                break follower;
            }
        };
        let mut seen = Vec::new();
        let last = draft(custom_event(999_999)).event_id.to_string();
        loop {
            match follower.next().await {
                Ok(event_log::Followed::Events(delivery)) => {
                    seen.extend(events(&delivery).iter().map(place));
                }
                Ok(_) => {}
                Err(LogError::Database(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
            if stop.load(Ordering::Acquire) && seen.iter().any(|(_, id)| *id == last) {
                return seen;
            }
        }
    })
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
