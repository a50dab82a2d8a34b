//! Reads by time: a filter on `occurred_at`, in position order; and the seek to a time.

use std::cell::Cell;

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogConfig};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use test_support::{TestDatabase, started_at};

use crate::common::{TestLog, cases, draft_at, everything, open, read_range, read_up_to};

/// Minutes ago: most of them recent, some up to four months old.
fn minutes_ago() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 0..600i64, 1 => 0..180_000i64]
}

fn time(minutes_ago: i64) -> DateTime<Utc> {
    started_at() - TimeDelta::minutes(minutes_ago)
}

/// Times at, just before and just after that of an event.
fn bound() -> impl Strategy<Value = Option<DateTime<Utc>>> {
    let nanoseconds = prop_oneof![Just(0), Just(-1), Just(1), Just(-1_000), Just(1_000)];
    let at = (minutes_ago(), nanoseconds)
        .prop_map(|(minutes, shift)| time(minutes) + TimeDelta::nanoseconds(shift));
    prop::option::weighted(0.8, at)
}

async fn check_range(
    log: &EventLog,
    times: &[DateTime<Utc>],
    since: Option<DateTime<Utc>>,
    before: Option<DateTime<Utc>>,
) {
    let range = log.read_between(since, before, everything()).await.unwrap();
    let read: Vec<_> = read_range(range).await.unwrap();
    let expected: Vec<u64> = (1..)
        .zip(times)
        .filter(|(_, at)| since.is_none_or(|since| **at >= since))
        .filter(|(_, at)| before.is_none_or(|before| **at < before))
        .map(|(position, _)| position)
        .collect();
    let positions: Vec<_> = read.iter().map(|event| event.position).collect();
    assert_eq!(positions, expected, "{since:?} {before:?}");
}

async fn check_seek(log: &EventLog, times: &[DateTime<Utc>], since: DateTime<Utc>) {
    let mut follower = log.follow_since(since, everything()).await.unwrap();
    let read = read_up_to(&mut follower, times.len() as u64).await;
    let first = times.iter().position(|at| *at >= since);
    let expected = first.map_or(0, |first| times.len() - first);
    assert_eq!(read.len(), expected, "{since}");
    assert!(
        read.iter()
            .rev()
            .map(|e| e.position)
            .eq((1..=times.len() as u64).rev().take(expected))
    );
}

#[test]
fn ranges_and_seeks_are_exact_with_times_out_of_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let case = Cell::new(0);
    let strategy = (
        vec(vec(minutes_ago(), 1..40), 0..6),
        vec((bound(), bound()), 12),
    );
    let checked = TestRunner::new(cases(10)).run(&strategy, |(batches, bounds)| {
        case.set(case.get() + 1);
        runtime.block_on(async {
            let schema = format!("case_{}", case.get());
            let log = open(&database.url(), &schema, LogConfig::default(), None).await;
            let mut times = Vec::new();
            for batch in batches {
                let batch: Vec<_> = batch.into_iter().map(time).collect();
                let drafts = (times.len() as u64..)
                    .zip(&batch)
                    .map(|(n, at)| draft_at(n, *at));
                log.append(drafts.collect()).await.unwrap();
                times.extend(batch);
            }
            for (since, before) in bounds {
                check_range(&log, &times, since, before).await;
                if let Some(since) = since {
                    check_seek(&log, &times, since).await;
                }
            }
            log.close().await;
        });
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn a_range_ends_with_what_was_stored_when_it_began() {
    let test = TestLog::create().await;
    let log = test.open().await;
    log.append((0..10).map(|n| draft_at(n, time(n as i64))).collect())
        .await
        .unwrap();
    let range = log.read_between(None, None, everything()).await.unwrap();
    log.append((10..20).map(|n| draft_at(n, time(n as i64))).collect())
        .await
        .unwrap();
    assert_eq!(read_range(range).await.unwrap().len(), 10);
}
