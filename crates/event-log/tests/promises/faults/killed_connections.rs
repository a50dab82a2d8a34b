//! Connections that end at any moment: what was said to be stored is, and what was refused is not.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use event_log::{EventLog, LogError};
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use test_support::{custom_event, draft, drafts, eventually};
use tokio::{task::JoinHandle, time::timeout};

use crate::common::{DEADLINE, Place, TestLog, events, everything, place, places};

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

/// Ends one connection of the log after another, each after a few answers, so that a slow machine gets
/// on too.
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
        // Some appends succeed between two kills.
        let enough = answers + random.random_range(1..4);
        let has_answered = async || answered.load(Ordering::Acquire) >= enough || done();
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
