//! Retention drops a prefix of the log, and is never silent.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use atlas_events::{Clock, Draft};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogConfig, LogError};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use sqlx::{Connection, PgPool};
use test_support::{TestDatabase, custom_event_at, draft, eventually};

use crate::common::{
    DEADLINE, TestLog, cases, chunk_boundary, draft_at, everything, next_events, open, pool,
    read_range, read_up_to, wanted,
};

const RETENTION_DAYS: i64 = 28;

/// A chunk begins here. Fixed, so that the tests do not depend on the day.
fn begin() -> DateTime<Utc> {
    chunk_boundary("2025-01-05T12:00:00Z".parse().unwrap(), 0)
}

/// A clock that the test sets.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn at(time: DateTime<Utc>) -> Self {
        Self(Arc::new(AtomicI64::new(time.timestamp())))
    }

    fn set(&self, time: DateTime<Utc>) {
        self.0.store(time.timestamp(), Ordering::Release);
    }

    fn clock(&self) -> Clock {
        let seconds = Arc::clone(&self.0);
        Clock::from_fn(move || {
            DateTime::from_timestamp(seconds.load(Ordering::Acquire), 0).unwrap()
        })
    }

    fn config(&self) -> LogConfig {
        LogConfig {
            retention: Some(Duration::from_secs(RETENTION_DAYS as u64 * 86_400)),
            clock: self.clock(),
            // Everything is read from the database.
            ring_bytes_max: 0,
            ..LogConfig::default()
        }
    }
}

/// Event `n` occurs on day `n`.
fn daily(days: std::ops::Range<u64>) -> Vec<Draft> {
    days.map(|n| draft_at(n, begin() + TimeDelta::days(n as i64)))
        .collect()
}

/// A log with an event for each of 70 days and the clock at the end of them.
async fn seventy_days(test: &TestLog) -> (EventLog, Hands) {
    let hands = Hands::at(begin());
    let log = test.open_with(hands.config()).await;
    log.append(daily(0..70)).await.unwrap();
    hands.set(begin() + TimeDelta::days(70));
    (log, hands)
}

#[tokio::test]
async fn whole_chunks_go_when_their_time_has_come() {
    let test = TestLog::create().await;
    let (log, hands) = seventy_days(&test).await;
    // Days 0 to 41 are older than 28 days; chunks hold seven days, and the last one that ended
    // before day 42 ended with it, but two hours too late.
    let trimmed = log.trim().await.unwrap();
    assert_eq!((trimmed.chunks, trimmed.first_position), (5, 36));
    assert_eq!(log.head().await.unwrap().first_position, 36);
    assert_eq!(test.stored().await.first().unwrap().0, 36);
    hands.set(begin() + TimeDelta::days(70) + TimeDelta::hours(2));
    assert_eq!(log.trim().await.unwrap().first_position, 43);
    assert_eq!(log.trim().await.unwrap().chunks, 0);
}

#[tokio::test]
async fn cursors_before_the_first_position_get_where_it_begins() {
    let test = TestLog::create().await;
    let (log, _) = seventy_days(&test).await;
    log.trim().await.unwrap();
    for log in [test.open_with(Hands::at(begin()).config()).await, log] {
        for after in [0, 34] {
            let refused = log.follow_after(after, everything()).await.unwrap_err();
            assert!(
                matches!(refused, LogError::Trimmed { after: a, first_position: 36 } if a == after),
                "{refused}"
            );
        }
        let mut follower = log.follow_after(35, everything()).await.unwrap();
        assert_eq!(read_up_to(&mut follower, 70).await.len(), 35);
        for since in [
            begin(),
            begin() + TimeDelta::days(35) - TimeDelta::microseconds(1),
        ] {
            let seek = log.follow_since(since, everything()).await.unwrap_err();
            let range = log
                .read_between(Some(since), None, everything())
                .await
                .unwrap_err();
            for refused in [seek, range] {
                assert!(
                    matches!(
                        refused,
                        LogError::TrimmedTime {
                            first_position: 36,
                            ..
                        }
                    ),
                    "{refused}"
                );
            }
        }
        let since = begin() + TimeDelta::days(35);
        let mut follower = log.follow_since(since, everything()).await.unwrap();
        assert_eq!(read_up_to(&mut follower, 70).await.len(), 35);
        for range in [Some(since), None] {
            let range = log.read_between(range, None, everything()).await.unwrap();
            assert_eq!(read_range(range).await.unwrap().len(), 35);
        }
    }
}

/// A log of 3,000 events on day 0 and as many on day 35, so that the first are several pages.
async fn two_heaps(test: &TestLog) -> (EventLog, Hands) {
    let hands = Hands::at(begin());
    let log = test.open_with(hands.config()).await;
    for heap in 0..2 {
        let day = begin() + TimeDelta::days(heap * 35);
        let drafts = (0..3_000).map(|n| {
            let n = heap * 3_000 + n;
            draft(custom_event_at(n as u64, day + TimeDelta::seconds(n)))
        });
        log.append(drafts.collect()).await.unwrap();
    }
    (log, hands)
}

#[tokio::test]
async fn readers_that_retention_overtakes_get_an_error() {
    let test = TestLog::create().await;
    let (log, hands) = two_heaps(&test).await;
    let custom = wanted(&["CustomEvent"]);
    let mut followers = Vec::new();
    let mut ranges = Vec::new();
    for filter in [everything(), custom] {
        let mut follower = log.follow_after(0, filter.clone()).await.unwrap();
        assert_eq!(next_events(&mut follower).await.unwrap().len(), 1_000);
        followers.push(follower);
        let mut range = log.read_between(None, None, filter.clone()).await.unwrap();
        assert_eq!(range.next().await.unwrap().unwrap().count, 1_000);
        ranges.push(range);
    }
    hands.set(begin() + TimeDelta::days(63));
    assert_eq!(log.trim().await.unwrap().first_position, 3_001);
    for follower in &mut followers {
        let error = next_events(follower).await.unwrap_err();
        assert!(
            matches!(
                error,
                LogError::Trimmed {
                    after: 1_000,
                    first_position: 3_001
                }
            ),
            "{error}"
        );
    }
    for range in ranges {
        let error = read_range(range).await.unwrap_err();
        assert!(
            matches!(
                error,
                LogError::Trimmed {
                    first_position: 3_001,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_dropped_id_is_refused_whatever_time_it_comes_with() {
    let test = TestLog::create().await;
    let (log, _) = seventy_days(&test).await;
    // The last event before the cut, and one at its own time's limit.
    let cut = begin() + TimeDelta::days(35);
    let last = draft_at(500, cut - TimeDelta::milliseconds(1));
    log.append(vec![last.clone()]).await.unwrap();
    // It keeps its chunk from being dropped until what came before it may go too.
    assert_eq!(log.trim().await.unwrap().first_position, 29);

    let test = TestLog::create().await;
    let hands = Hands::at(begin());
    let log = test.open_with(hands.config()).await;
    log.append(vec![
        last.clone(),
        draft_at(501, begin() + TimeDelta::days(60)),
    ])
    .await
    .unwrap();
    hands.set(begin() + TimeDelta::days(70));
    assert_eq!(log.trim().await.unwrap().first_position, 2);
    for minutes in [-60, 0, 30, 60] {
        let mut again = custom_event_at(500, last.occurred_at);
        let occurred_at = last.occurred_at + TimeDelta::minutes(minutes);
        again.occurred_at = Some(occurred_at.into());
        let batch = vec![draft_at(600, begin() + TimeDelta::days(61)), draft(again)];
        let refused = log.append(batch).await.unwrap_err();
        assert!(
            matches!(refused, LogError::TooOld { index: 1, .. }),
            "{refused}"
        );
    }
    assert_eq!(log.head().await.unwrap().last_position, 2);
    // What can be distinguished from everything dropped is accepted.
    let earliest = log.earliest_accepted(&log.head().await.unwrap());
    let receipts = log.append(vec![draft_at(700, earliest)]).await.unwrap();
    assert_eq!((receipts[0].position, receipts[0].duplicate), (3, false));
}

#[tokio::test]
async fn a_log_that_lost_everything_goes_on_where_it_was() {
    let test = TestLog::create().await;
    let (log, hands) = seventy_days(&test).await;
    hands.set(begin() + TimeDelta::days(365));
    assert_eq!(log.trim().await.unwrap().first_position, 71);
    assert!(test.stored().await.is_empty());
    let log = test.open_with(hands.config()).await;
    let refused = log.follow_after(69, everything()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            LogError::Trimmed {
                first_position: 71,
                ..
            }
        ),
        "{refused}"
    );
    let range = log.read_between(None, None, everything()).await.unwrap();
    assert!(read_range(range).await.unwrap().is_empty());
    let mut follower = log.follow_after(70, everything()).await.unwrap();
    log.append(daily(364..365)).await.unwrap();
    assert_eq!(next_events(&mut follower).await.unwrap()[0].position, 71);
}

#[tokio::test]
async fn a_reader_of_a_chunk_puts_retention_off() {
    let test = TestLog::create().await;
    let (log, _) = seventy_days(&test).await;
    let mut connection = test.connection().await;
    let mut reading = connection.begin().await.unwrap();
    let count: i64 = sqlx::query_scalar("select count(*) from events")
        .fetch_one(&mut *reading)
        .await
        .unwrap();
    let put_off = log.trim().await.unwrap_err();
    assert!(
        matches!(put_off, LogError::Database(_)) && put_off.is_transient(),
        "{put_off}"
    );
    assert_eq!(log.head().await.unwrap().first_position, 1);
    reading.rollback().await.unwrap();
    assert_eq!(test.stored().await.len() as i64, count);
    assert_eq!(log.trim().await.unwrap().first_position, 36);
}

#[tokio::test]
async fn retention_runs_by_itself() {
    let test = TestLog::create().await;
    let hands = Hands::at(begin());
    let config = LogConfig {
        retention_interval: Duration::from_millis(20),
        ..hands.config()
    };
    let log = test.open_with(config).await;
    log.append(daily(0..70)).await.unwrap();
    hands.set(begin() + TimeDelta::days(70));
    eventually(DEADLINE, async || {
        log.head().await.unwrap().first_position == 36
    })
    .await;
}

#[tokio::test]
async fn without_retention_everything_is_kept() {
    let test = TestLog::create().await;
    let config = LogConfig {
        retention: None,
        ..LogConfig::default()
    };
    let log = test.open_with(config).await;
    log.append(daily(0..70)).await.unwrap();
    let trimmed = log.trim().await.unwrap();
    assert_eq!((trimmed.chunks, trimmed.first_position), (0, 1));
    assert_eq!(test.stored().await.len(), 70);
}

/// Each chunk that stays may hold back another, which holds back a third.
#[tokio::test]
async fn a_chunk_stays_while_it_holds_a_position_behind_one_that_stays() {
    let test = TestLog::create().await;
    let hands = Hands::at(begin());
    let log = test.open_with(hands.config()).await;
    // By position: two weeks that are over interleave, and the second of them with the present.
    let weeks = [0, 1, 0, 9, 1];
    let drafts = (0..)
        .zip(weeks)
        .map(|(n, week)| draft_at(n, begin() + TimeDelta::weeks(week)));
    log.append(drafts.collect()).await.unwrap();
    hands.set(begin() + TimeDelta::weeks(10));
    let trimmed = log.trim().await.unwrap();
    assert_eq!((trimmed.chunks, trimmed.first_position), (0, 1));
    assert_eq!(test.stored().await.len(), 5);
    // Once the present is over too, all of them go at once.
    hands.set(begin() + TimeDelta::weeks(20));
    let trimmed = log.trim().await.unwrap();
    assert_eq!((trimmed.chunks, trimmed.first_position), (3, 6));
}

#[derive(Debug, Clone)]
enum Step {
    /// Events so many days after the beginning, many of them long before the ones stored already.
    Append(Vec<u16>),
    /// The clock moves on by so many days, and retention runs.
    Trim(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => vec(0..120u16, 1..12).prop_map(Step::Append),
        1 => (1..40u16).prop_map(Step::Trim),
    ]
}

/// The log, the time, and what was appended in order of positions.
struct Scene {
    log: EventLog,
    pool: PgPool,
    hands: Hands,
    now: DateTime<Utc>,
    appended: Vec<DateTime<Utc>>,
}

impl Scene {
    async fn append(&mut self, days: &[u16]) {
        let head = self.log.head().await.unwrap();
        let earliest = self.log.earliest_accepted(&head);
        let times = days
            .iter()
            .map(|day| begin() + TimeDelta::days(i64::from(*day)));
        let (accepted, refused): (Vec<_>, Vec<_>) = times.partition(|at| *at >= earliest);
        let first = self.appended.len() as u64;
        let drafts = (first..).zip(&accepted).map(|(n, at)| draft_at(n, *at));
        let receipts = self.log.append(drafts.collect()).await.unwrap();
        assert!(
            receipts
                .iter()
                .map(|r| r.position)
                .eq((first + 1..).take(accepted.len()))
        );
        self.appended.extend(accepted);
        let dropped = head
            .dropped_before
            .map(|dropped| dropped + TimeDelta::hours(2));
        if let Some(at) = refused.first().filter(|at| Some(**at) < dropped) {
            let refused = self.log.append(vec![draft_at(999, *at)]).await.unwrap_err();
            assert!(
                matches!(refused, LogError::TooOld { index: 0, .. }),
                "{refused}"
            );
        }
    }

    async fn trim(&mut self, days: u16) {
        self.now += TimeDelta::days(i64::from(days));
        self.hands.set(self.now);
        let trimmed = self.log.trim().await.unwrap();
        let first = trimmed.first_position;
        assert_eq!(self.log.head().await.unwrap().first_position, first);
        let stored: Vec<i64> = sqlx::query_scalar("select position from events order by position")
            .fetch_all(&self.pool)
            .await
            .unwrap();
        let last = self.appended.len() as i64;
        assert!(
            stored.iter().copied().eq(first as i64..=last),
            "{first}: {stored:?}"
        );
        let cutoff = self.now - TimeDelta::days(RETENTION_DAYS);
        let dropped = &self.appended[..first as usize - 1];
        assert!(dropped.iter().all(|at| *at < cutoff));

        let mut follower = self
            .log
            .follow_after(first - 1, everything())
            .await
            .unwrap();
        let read = read_up_to(&mut follower, last as u64).await;
        assert!(read.iter().map(|event| event.position as i64).eq(stored));
        if first > 1 {
            let refused = self
                .log
                .follow_after(first - 2, everything())
                .await
                .unwrap_err();
            assert!(matches!(refused, LogError::Trimmed { .. }), "{refused}");
        }
    }
}

#[test]
fn only_a_prefix_is_dropped_whatever_the_order_of_times() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let case = Cell::new(0);
    let dropped = Cell::new(0);
    let checked = TestRunner::new(cases(8)).run(&vec(step(), 2..12), |steps| {
        case.set(case.get() + 1);
        runtime.block_on(async {
            let (url, schema) = (database.url(), format!("case_{}", case.get()));
            let hands = Hands::at(begin());
            let mut scene = Scene {
                log: open(&url, &schema, hands.config(), None).await,
                pool: pool(&url, &schema).await,
                now: begin() + TimeDelta::days(60),
                hands,
                appended: Vec::new(),
            };
            // The first case drops something, whatever the others do.
            let sure = [
                Step::Append(vec![0, 1]),
                Step::Append(vec![119]),
                Step::Trim(40),
            ];
            let sure = sure.into_iter().filter(|_| case.get() == 1);
            for step in sure.chain(steps) {
                match step {
                    Step::Append(days) => scene.append(&days).await,
                    Step::Trim(days) => scene.trim(days).await,
                }
            }
            let head = scene.log.head().await.unwrap();
            dropped.set(dropped.get() + head.first_position - 1);
            scene.log.close().await;
        });
        Ok(())
    });
    checked.unwrap();
    assert!(dropped.get() > 0);
}
