//! Under load the rows of a group are stored while the group before it is being committed. What comes
//! of it is what would come of one after the other, whatever becomes of the one before and whoever
//! else appends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use atlas_events::Draft;
use chrono::TimeDelta;
use event_log::{EventLog, LogConfig, LogError, PendingAppend, Projection};
use futures::{FutureExt, future::BoxFuture};
use sqlx::{Connection, PgConnection};
use test_support::{custom_event, draft, drafts, eventually};
use tokio::{sync::watch, time::timeout};
use ulid::Ulid;

use crate::{
    appending::{
        large_groups::of_every_kind,
        small_appends::{append_one, assert_stored_as_in_one_transaction, undisturbed},
    },
    common::{DEADLINE, TestLog, places},
};

/// A group takes no further batch once it has so many events.
const GROUP: u64 = 4_000;
/// Events that are stored before.
const BEFORE: u64 = 3;

/// Holds large groups between the move of the head and the commit until it is opened, and then finds
/// fault with one event.
struct Gate {
    open: watch::Sender<bool>,
    fault: Option<Ulid>,
}

impl Gate {
    fn closed(fault: Option<Ulid>) -> Arc<Self> {
        let (open, _) = watch::channel(false);
        Arc::new(Self { open, fault })
    }
}

impl Projection for Gate {
    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        events: &'a [(u64, &'a Draft)],
    ) -> BoxFuture<'a, Result<(), sqlx::Error>> {
        async move {
            if events.len() > 3 {
                let mut open = self.open.subscribe();
                timeout(DEADLINE, open.wait_for(|open| *open))
                    .await
                    .unwrap()
                    .unwrap();
            }
            let faulty = |(_, draft): &(u64, &Draft)| Some(draft.event_id) == self.fault;
            if events.iter().any(faulty) {
                sqlx::raw_sql("select 1 / 0").execute(connection).await?;
            }
            Ok(())
        }
        .boxed()
    }
}

/// Two groups of which the first waits at the gate and the second is prepared.
async fn two_groups(
    test: &TestLog,
    gate: &Arc<Gate>,
    all: &[Draft],
) -> (EventLog, [PendingAppend; 2]) {
    let log = test.open_projecting(Arc::clone(gate) as _).await;
    let (before, groups) = all.split_at(BEFORE as usize);
    for draft in before {
        log.append(vec![draft.clone()]).await.unwrap();
    }
    // Both are queued before the appender sees either.
    let (first, second) = groups.split_at(GROUP as usize);
    let pending = [first, second].map(|group| log.enqueue(group.to_vec()));
    test.until_prepared(1).await;
    (log, pending)
}

#[tokio::test]
async fn the_next_group_is_stored_meanwhile_and_seen_only_after_it() {
    let all = of_every_kind(0..BEFORE + GROUP + 500);
    let test = TestLog::create().await;
    let gate = Gate::closed(None);
    let (_log, pending) = two_groups(&test, &gate, &all).await;
    assert_eq!(test.stored().await.len() as u64, BEFORE);
    gate.open.send_replace(true);
    let mut next = BEFORE + 1;
    for pending in pending {
        for receipt in pending.await.unwrap() {
            assert_eq!((receipt.position, receipt.duplicate), (next, false));
            next += 1;
        }
    }

    assert_stored_as_in_one_transaction(&test, all).await;
}

#[tokio::test]
async fn a_group_behind_one_that_fails_is_stored_where_that_would_have_been() {
    let all = drafts(0..BEFORE + GROUP + 500);
    let test = TestLog::create().await;
    let gate = Gate::closed(Some(all[10].event_id));
    let (log, [first, second]) = two_groups(&test, &gate, &all).await;
    gate.open.send_replace(true);
    let error = first.await.unwrap_err();
    assert!(matches!(&error, LogError::Database(_)), "{error}");
    assert!(!error.is_transient(), "{error}");
    let receipts = second.await.unwrap();
    assert_eq!(receipts[0].position, BEFORE + 1);
    assert_eq!(append_one(&log, 9_000).await.position, BEFORE + 500 + 1);
    let stored = test.stored().await;
    let count = BEFORE + 500 + 1;
    assert!(stored.iter().map(|(position, _)| *position).eq(1..=count));
}

#[tokio::test]
async fn another_process_that_waits_for_the_head_stores_no_twin() {
    let all = drafts(0..BEFORE + GROUP + 500);
    let test = TestLog::create().await;
    let gate = Gate::closed(None);
    let (_log, [first, second]) = two_groups(&test, &gate, &all).await;
    // It gets the head once the first group is committed, or behind the second, which it repeats in
    // part; neither may wait for the other for ever.
    let other = test.open().await;
    let theirs = drafts(BEFORE + GROUP + 400..BEFORE + GROUP + 600);
    let waiting = tokio::spawn({
        let theirs = theirs.clone();
        async move { other.append(theirs).await.unwrap() }
    });
    test.until_waiting(1).await;
    gate.open.send_replace(true);
    let mut reported = places(
        &all[BEFORE as usize..][..GROUP as usize],
        &first.await.unwrap(),
    );
    let mut fresh = 0;
    let behind = &all[(BEFORE + GROUP) as usize..];
    for (batch, receipts) in [
        (behind, second.await.unwrap()),
        (&theirs, timeout(DEADLINE, waiting).await.unwrap().unwrap()),
    ] {
        fresh += receipts.iter().filter(|receipt| !receipt.duplicate).count();
        reported.extend(places(batch, &receipts));
    }
    assert_eq!(fresh, 600);
    reported.sort_unstable();
    reported.dedup();
    let stored = test.stored().await;
    assert_eq!(reported, stored[BEFORE as usize..]);
    let count = BEFORE + GROUP + 600;
    assert!(stored.iter().map(|(position, _)| *position).eq(1..=count));
}

/// Whatever is large enough to be prepared, and what is not.
const SIZES: [u64; 2] = [2, 50];

#[tokio::test]
async fn what_another_process_stored_is_recognised() {
    for size in SIZES {
        let test = TestLog::create().await;
        let (log, other) = (undisturbed(&test).await, test.open().await);
        let theirs = drafts(100..100 + size);
        other.append(theirs.clone()).await.unwrap();
        // Only the head shows these twins: no index knows an id at two times.
        let again = |draft: &Draft| Draft {
            occurred_at: draft.occurred_at + TimeDelta::minutes(7),
            ..draft.clone()
        };
        let receipts = log.append(theirs.iter().map(again).collect()).await;
        let reported: Vec<_> = receipts
            .unwrap()
            .iter()
            .map(|receipt| (receipt.position, receipt.duplicate))
            .collect();
        let expected: Vec<_> = (4..4 + size).map(|position| (position, true)).collect();
        assert_eq!(reported, expected);
        assert_eq!(append_one(&log, 500).await.position, 4 + size);
    }
}

#[tokio::test]
async fn what_retention_dropped_meanwhile_is_refused() {
    for size in SIZES {
        let test = TestLog::create().await;
        let log = undisturbed(&test).await;
        let new = drafts(100..100 + size);
        let dropped_before = new[0].occurred_at;
        sqlx::query("update log_head set dropped_before = $1")
            .bind(dropped_before)
            .execute(&mut test.connection().await)
            .await
            .unwrap();
        let refused = log.append(new).await.unwrap_err();
        assert!(
            matches!(refused, LogError::TooOld { index: 0, .. }),
            "{refused}"
        );
        assert_eq!(test.stored().await.len() as u64, BEFORE);
    }
}

/// Another process may have stored the same events ahead, in another order; neither gives up.
#[tokio::test]
async fn who_is_chosen_to_end_a_deadlock_appends_again() {
    let test = TestLog::create().await;
    let log = test.open().await;
    // Its chunk is there, for whoever makes it keeps the others waiting.
    append_one(&log, 100).await;
    let batch = drafts(0..50);
    let mut connection = test.connection().await;
    let mut ahead = connection.begin().await.unwrap();
    store(&mut ahead, &batch[40]).await.unwrap();
    let appending = tokio::spawn({
        let (log, batch) = (log.clone(), batch.clone());
        async move { log.append(batch).await }
    });
    test.until_waiting(1).await;
    // Now each waits for the other; the one that has waited for longer gets an error.
    let _ = store(&mut ahead, &batch[10]).await;
    ahead.rollback().await.unwrap();
    let receipts = timeout(DEADLINE, appending)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(places(&batch, &receipts), test.stored().await[1..]);
}

async fn store(connection: &mut PgConnection, draft: &Draft) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into events (position, occurred_at, recorded_at, event_id, event_type,
                             source_service, payload, encoded)
         values (1, $1, now(), $2, 'custom:Test', 'test', '{}', '')",
    )
    .bind(draft.occurred_at)
    .bind(draft.event_id.to_string())
    .execute(connection)
    .await
    .map(drop)
}

/// Where an id lies below many that are stored, the database is asked.
#[tokio::test]
async fn ids_of_the_past_are_stored_once() {
    for size in SIZES {
        let test = TestLog::create().await;
        let log = undisturbed(&test).await;
        let past = |n: u64| {
            let mut event = custom_event(n);
            event.event_id = Ulid::from_parts(1_000 * n, u128::from(n)).to_string();
            event.occurred_at = chrono::DateTime::from_timestamp(n as i64, 0).map(Into::into);
            draft(event)
        };
        let batch: Vec<_> = (10_000..10_000 + size).map(past).collect();
        for repeat in [false, true] {
            let receipts = log.append(batch.clone()).await.unwrap();
            let reported: Vec<_> = receipts.iter().map(|r| (r.position, r.duplicate)).collect();
            let expected: Vec<_> = (4..4 + size).map(|position| (position, repeat)).collect();
            assert_eq!(reported, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_closed_under_load_answers_everybody() {
    let test = TestLog::create().await;
    let log = test.open_with(LogConfig::default()).await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let closing = Arc::new(AtomicBool::new(false));
    let publishers: Vec<_> = (0..8_u64)
        .map(|publisher| {
            let (log, closing) = (log.clone(), Arc::clone(&closing));
            let acknowledged = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                for batch in 0.. {
                    let first = (batch * 8 + publisher) * 100;
                    match log.append(drafts(first..first + 100)).await {
                        Ok(_) => acknowledged.fetch_add(100, Ordering::Release),
                        Err(LogError::Closed) if closing.load(Ordering::Acquire) => return,
                        Err(error) => panic!("{error}"),
                    };
                }
            })
        })
        .collect();
    eventually(DEADLINE, async || {
        acknowledged.load(Ordering::Acquire) > 4_000
    })
    .await;
    closing.store(true, Ordering::Release);
    timeout(DEADLINE, log.close()).await.unwrap();
    for publisher in publishers {
        timeout(Duration::from_secs(5), publisher)
            .await
            .unwrap()
            .unwrap();
    }
    let stored = test.stored().await.len();
    assert_eq!(stored, acknowledged.load(Ordering::Acquire));
}
