//! Positions are 1, 2, 3, … in commit order, whatever number of processes append.

use std::collections::HashSet;

use event_log::EventLog;
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::Connection;
use test_support::drafts;
use tokio::{task::JoinHandle, time::timeout};

use crate::common::{DEADLINE, Place, TestLog, everything, next_events, place, places};

const PROCESSES: u64 = 3;
const WRITERS: u64 = 4;
const BATCHES: u64 = 15;
/// Numbers of events that one writer may use.
const NUMBERS: u64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_are_gapless_and_every_follower_sees_the_same() {
    let test = TestLog::create().await;
    let logs = join_all((0..PROCESSES).map(|_| test.open())).await;
    let mut followers = Vec::new();
    for log in logs.iter().flat_map(|log| [log, log]) {
        followers.push(follow_gapless(log).await);
    }
    let writers = (0..PROCESSES * WRITERS).map(|writer| {
        let log = logs[(writer % PROCESSES) as usize].clone();
        tokio::spawn(append_batches(log, writer))
    });
    let transactions = join_all((0..PROCESSES).map(async |process| {
        let writer = PROCESSES * WRITERS + process;
        (
            logs[process as usize].clone(),
            test.connection().await,
            writer,
        )
    }))
    .await
    .into_iter()
    .map(|(log, connection, writer)| tokio::spawn(append_and_roll_back(log, connection, writer)));
    let writers: Vec<_> = writers.chain(transactions).collect();

    let mut acknowledged: Vec<Place> = Vec::new();
    for writer in writers {
        acknowledged.extend(timeout(DEADLINE, writer).await.unwrap().unwrap());
    }
    acknowledged.sort_unstable();
    let stored = test.stored().await;
    assert_eq!(acknowledged, stored);
    let count = stored.len() as u64;
    assert!(stored.iter().map(|(position, _)| *position).eq(1..=count));
    assert_eq!(logs[0].head().await.unwrap().last_position, count);
    for (seen, follower) in followers {
        seen.send(count).await.unwrap();
        let followed = timeout(DEADLINE, follower).await.unwrap().unwrap();
        assert_eq!(followed, stored);
    }
}

/// Follows from the beginning, until it receives the position at which to stop.
async fn follow_gapless(
    log: &EventLog,
) -> (tokio::sync::mpsc::Sender<u64>, JoinHandle<Vec<Place>>) {
    let (stop_at, mut stop) = tokio::sync::mpsc::channel(1);
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    let following = tokio::spawn(async move {
        let mut seen: Vec<Place> = Vec::new();
        let mut last = u64::MAX;
        while (seen.len() as u64) < last {
            tokio::select! {
                Some(at) = stop.recv() => last = at,
                events = next_events(&mut follower) => {
                    for event in events.unwrap() {
                        assert_eq!(event.position, seen.len() as u64 + 1);
                        seen.push(place(&event));
                    }
                }
            }
        }
        seen
    });
    (stop_at, following)
}

async fn append_batches(log: EventLog, writer: u64) -> Vec<Place> {
    let mut random = StdRng::seed_from_u64(writer);
    let mut next = writer * NUMBERS;
    let mut acknowledged = Vec::new();
    for _ in 0..BATCHES {
        // Small and large groups are stored in different ways.
        let size = random.random_range(1..=60);
        let batch = drafts(next..next + size);
        next += size;
        let receipts = log.append(batch.clone()).await.unwrap();
        acknowledged.extend(places(&batch, &receipts));
    }
    acknowledged
}

/// Appends within transactions of its own, of which it rolls back every other one or so.
async fn append_and_roll_back(
    log: EventLog,
    mut connection: sqlx::PgConnection,
    writer: u64,
) -> Vec<Place> {
    let mut random = StdRng::seed_from_u64(writer);
    let mut next = writer * NUMBERS;
    let mut acknowledged = Vec::new();
    for _ in 0..BATCHES {
        let size = random.random_range(1..=20);
        let batch = drafts(next..next + size);
        next += size;
        let mut transaction = connection.begin().await.unwrap();
        let appended = log
            .append_in(&mut transaction, batch.clone())
            .await
            .unwrap();
        if random.random_bool(0.5) {
            transaction.rollback().await.unwrap();
        } else {
            transaction.commit().await.unwrap();
            acknowledged.extend(places(&batch, appended.receipts()));
            appended.committed();
        }
    }
    acknowledged
}

#[tokio::test]
async fn a_rollback_returns_its_positions() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let mut connection = test.connection().await;
    for kept in 1..=3 {
        let mut transaction = connection.begin().await.unwrap();
        let undone = log.append_in(&mut transaction, drafts(100..110)).await;
        assert_eq!(undone.unwrap().receipts()[0].position, kept);
        transaction.rollback().await.unwrap();
        let receipts = log.append(drafts(kept..kept + 1)).await.unwrap();
        assert_eq!(receipts[0].position, kept);
        assert!(!receipts[0].duplicate);
    }
    assert_eq!(test.stored().await.len(), 3);
}

#[tokio::test]
async fn what_is_not_committed_is_not_seen() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let mut connection = test.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    let appended = log.append_in(&mut transaction, drafts(0..5)).await.unwrap();
    assert_eq!(appended.receipts()[4].position, 5);
    assert_eq!(log.head().await.unwrap().last_position, 0);
    assert!(test.stored().await.is_empty());
    // Another append waits for the outcome, and comes after it.
    let waiting = log.enqueue(drafts(5..6));
    test.until_waiting(1).await;
    transaction.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap()[0].position, 6);
}

#[tokio::test]
async fn processes_that_start_at_once_share_one_log() {
    let test = TestLog::create().await;
    let logs = join_all((0..6).map(|_| test.open())).await;
    let identities: HashSet<_> = logs.iter().map(EventLog::log_id).collect();
    assert_eq!(identities.len(), 1);
    let appends = logs
        .iter()
        .zip(0..)
        .map(|(log, n)| log.append(drafts(n..n + 1)));
    let receipts = join_all(appends).await;
    let positions: HashSet<_> = receipts
        .into_iter()
        .map(|r| r.unwrap()[0].position)
        .collect();
    assert_eq!(positions, HashSet::from_iter(1..=6));
}
