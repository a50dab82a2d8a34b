//! A reader that is behind has its next pages read while it is busy with the ones before. Nothing is
//! to be seen of that but the speed: no event is lost or comes twice, whatever readers do, and a
//! reader that does not go on keeps neither a connection nor a page for long.

use std::{
    collections::HashMap,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

use atlas_events::{CustomEvent, Draft, event::Payload};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, Followed, Follower, LogConfig, LogError};
use futures::future::join_all;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pbjson_types::{Struct, Value};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::PgPool;
use test_support::{custom_event_at, draft, drafts, eventually};

use crate::common::{
    DEADLINE, Place, SCHEMA, TestLog, chunk_boundary, events, everything, next, next_events, place,
    read_up_to, wanted,
};

/// Events of a page.
const PAGE: u64 = 1_000;
/// Pages of small events that one question is answered with.
const RUN: u64 = 8;
const EVENTS: u64 = 9_000;
const WEEKS: u64 = 3;

fn begin() -> DateTime<Utc> {
    chunk_boundary("2025-01-05T12:00:00Z".parse().unwrap(), 0)
}

/// Everything is read from the database.
fn without_memory() -> LogConfig {
    LogConfig {
        ring_bytes_max: 0,
        retention: None,
        ..LogConfig::default()
    }
}

/// An event of the week that its number belongs to, of one type or another, and with some text.
fn event_with(n: u64, kind: usize, text_bytes: usize) -> Draft {
    let week = begin() + TimeDelta::weeks((n * WEEKS / EVENTS) as i64);
    let mut event = custom_event_at(n, week + TimeDelta::seconds(n as i64));
    let text = Value::from("x".repeat(text_bytes));
    event.payload = Some(Payload::Custom(CustomEvent {
        r#type: ["Placed", "Shipped"][kind].to_owned(),
        data: Some(Struct::from(HashMap::from([("text".to_owned(), text)]))),
    }));
    draft(event)
}

/// Runs of events of all sizes: small ones, some that are not, and a few that fill a page.
fn of_all_sizes(random: &mut StdRng) -> Vec<Draft> {
    let mut made = Vec::new();
    while (made.len() as u64) < EVENTS {
        let (run, text_bytes_max) = match random.random_range(0..4) {
            0 => (random.random_range(1..2_500), 50),
            1 => (random.random_range(1..1_500), 600),
            2 => (random.random_range(1..100), 20_000),
            _ => (random.random_range(1..3), 600_000),
        };
        for _ in 0..run {
            let text_bytes = random.random_range(0..text_bytes_max);
            made.push(event_with(
                made.len() as u64,
                random.random_range(0..2),
                text_bytes,
            ));
        }
    }
    made.truncate(EVENTS as usize);
    made
}

async fn append(log: &EventLog, drafts: &[Draft]) {
    let appending = drafts.chunks(500).map(|chunk| log.append(chunk.to_vec()));
    for appended in join_all(appending).await {
        appended.unwrap();
    }
}

/// Asks for what comes next and loses interest after so many polls; the runtime goes on between
/// them.
async fn abandon(follower: &mut Follower, polls: u32) -> Option<Result<Followed, LogError>> {
    let mut polled = 0;
    let mut call = Box::pin(follower.next());
    std::future::poll_fn(|context| {
        polled += 1;
        match call.as_mut().poll(context) {
            Poll::Ready(found) => Poll::Ready(Some(found)),
            Poll::Pending if polled > polls => Poll::Ready(None),
            Poll::Pending => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}

/// What a reader came to see of the log, and whether retention was there first.
async fn read_erratically(
    mut follower: Follower,
    last: u64,
    random: &mut StdRng,
) -> (Vec<Place>, Option<(u64, u64)>) {
    let cursor = follower.cursor();
    let mut read = Vec::new();
    while cursor.load(Ordering::Acquire) < last {
        let found = match random.random_range(0..10) {
            0..4 => abandon(&mut follower, random.random_range(0..200)).await,
            4 => {
                // Longer than a connection is kept, or not.
                let (idle_since, pause) = (Instant::now(), random.random_range(1..15));
                let is_over = async || idle_since.elapsed().as_millis() >= pause;
                eventually(DEADLINE, is_over).await;
                None
            }
            _ => Some(next(&mut follower).await),
        };
        let found = match found {
            Some(Err(LogError::Trimmed {
                after,
                first_position,
            })) => return (read, Some((after, first_position))),
            found => found.transpose().unwrap(),
        };
        if let Some(Followed::Events(delivery)) = found {
            assert!(delivery.count > 0 && delivery.count as u64 <= PAGE);
            assert_eq!(delivery.up_to, cursor.load(Ordering::Acquire));
            read.extend(events(&delivery).iter().map(place));
        }
    }
    (read, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_and_go_get_every_event_once_in_order() {
    for seed in 0..3 {
        let mut random = StdRng::seed_from_u64(seed);
        let test = TestLog::create().await;
        let log = test.open_with(without_memory()).await;
        let made = of_all_sizes(&mut random);
        append(&log, &made).await;
        let shipped = wanted(&["custom:Shipped"]);
        // More of them than may read ahead at once.
        let readers = (0..8).map(|reader| {
            let filter = match reader % 4 {
                0 => shipped.clone(),
                _ => everything(),
            };
            let after = random.random_range(0..2 * PAGE);
            let mut random = StdRng::seed_from_u64(random.random());
            let (log, made) = (&log, &made);
            async move {
                let filtered = !filter.is_unfiltered();
                let follower = log.follow_after(after, filter).await.unwrap();
                let read = read_erratically(follower, EVENTS, &mut random).await;
                let expected: Vec<Place> = (1..)
                    .zip(made)
                    .skip(after as usize)
                    .filter(|(_, draft)| !filtered || draft.event_type.as_str() == "custom:Shipped")
                    .map(|(position, draft)| (position, draft.event_id.to_string()))
                    .collect();
                assert!(read == (expected, None), "seed {seed}, after {after}");
            }
        });
        join_all(readers).await;
    }
}

/// Whatever had been read ahead when retention came is delivered; then the reader gets an error that says
/// where the log begins, and has missed nothing before that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_retention_overtakes_have_read_all_before() {
    let seeds = 0..4;
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let test = TestLog::create().await;
        let now = begin() + TimeDelta::weeks(WEEKS as i64) + TimeDelta::hours(3);
        let writer = test.open_with(without_memory()).await;
        let made: Vec<_> = (0..EVENTS).map(|n| event_with(n, 0, 100)).collect();
        append(&writer, &made).await;
        let log = test
            .open_with(LogConfig {
                // All but the last week.
                retention: Some(Duration::from_secs(7 * 86_400)),
                retention_interval: Duration::from_secs(3_600),
                clock: atlas_events::Clock::from_fn(move || now),
                ring_bytes_max: 0,
                ..LogConfig::default()
            })
            .await;
        let kept = EVENTS * (WEEKS - 1) / WEEKS + 1;
        let readers = (0..4).map(|_| {
            let mut random = StdRng::seed_from_u64(random.random());
            let (writer, made) = (&writer, &made);
            async move {
                let Ok(follower) = writer.follow_after(0, everything()).await else {
                    return;
                };
                let (read, reported) = read_erratically(follower, EVENTS, &mut random).await;
                let count = read.len() as u64;
                let expected = (1..).zip(made.iter().map(|draft| draft.event_id.to_string()));
                assert!(
                    read.into_iter().eq(expected.take(count as usize)),
                    "seed {seed}"
                );
                match reported {
                    Some(reported) => assert_eq!(reported, (count, kept), "seed {seed}"),
                    None => assert_eq!(count, EVENTS, "seed {seed}"),
                }
            }
        });
        let trimming = eventually(DEADLINE, async || {
            log.trim()
                .await
                .is_ok_and(|trimmed| trimmed.first_position == kept)
        });
        tokio::join!(join_all(readers), trimming);
    }
}

/// A reader that keeps its connection while it goes on must not keep others from theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_share_few_connections() {
    let test = TestLog::create().await;
    let pool = event_log::connect(&test.database.url(), SCHEMA, 3)
        .await
        .unwrap();
    let log = EventLog::open(pool, without_memory(), None).await.unwrap();
    append(&log, &drafts(0..5 * PAGE)).await;
    let readers = (0..30).map(|_| async {
        let mut follower = log.follow_after(0, everything()).await.unwrap();
        let read = read_up_to(&mut follower, 5 * PAGE).await;
        assert!(read.iter().map(|event| event.position).eq(1..=5 * PAGE));
    });
    join_all(readers).await;
}

#[tokio::test]
async fn pages_are_read_while_their_reader_is_busy_and_only_a_few() {
    let test = TestLog::create().await;
    let counted = Counted::open(&test, "some_ahead", 6).await;
    let mut follower = counted.log.follow_after(0, everything()).await.unwrap();

    // Who has asked for one page may not want another.
    next_page(&mut follower, 1).await;
    counted.until_no_connection_is_used().await;
    assert_eq!(counted.answers(), 1);

    // What one question is answered with waits to be taken, without a connection.
    next_page(&mut follower, 2).await;
    counted.until_no_connection_is_used().await;
    assert_eq!(counted.answers(), 2);

    // Once half of it is taken, the next is asked for, and then no more.
    for page in 3..=2 + RUN / 2 {
        next_page(&mut follower, page).await;
    }
    eventually(DEADLINE, async || counted.answers() == 3).await;
    counted.until_no_connection_is_used().await;
    assert_eq!(counted.answers(), 3);
    let rest = read_up_to(&mut follower, Counted::EVENTS).await;
    assert_eq!(rest.len() as u64, Counted::EVENTS - (2 + RUN / 2) * PAGE);
}

#[tokio::test]
async fn a_reader_that_does_not_go_on_makes_way_for_others() {
    let test = TestLog::create().await;
    // Of six connections two are for readers, and one of these for a reader that reads ahead.
    let counted = Counted::open(&test, "making_way", 6).await;
    let mut stalled = counted.log.follow_after(0, everything()).await.unwrap();
    next_page(&mut stalled, 1).await;
    next_page(&mut stalled, 2).await;
    assert_eq!(counted.answers(), 2);

    // Without a place among those who read ahead, each page is asked for.
    let asked = AtomicU64::new(2);
    eventually(DEADLINE, async || {
        let mut other = counted.log.follow_after(0, everything()).await.unwrap();
        for page in 1..=3 {
            next_page(&mut other, page).await;
            asked.fetch_add(1, Ordering::Relaxed);
        }
        counted.answers() < asked.load(Ordering::Relaxed)
    })
    .await;
    let rest = read_up_to(&mut stalled, Counted::EVENTS).await;
    let positions = rest.iter().map(|event| event.position);
    assert!(positions.eq(2 * PAGE + 1..=Counted::EVENTS));
}

/// A log of which is known how often the database was asked for pages.
struct Counted {
    log: EventLog,
    pool: PgPool,
    metrics: &'static PrometheusHandle,
    schema: &'static str,
}

impl Counted {
    const EVENTS: u64 = 3 * RUN * PAGE;

    async fn open(test: &TestLog, schema: &'static str, connections_max: u32) -> Self {
        let metrics = metrics();
        let url = test.database.url();
        let pool = event_log::connect(&url, schema, connections_max)
            .await
            .unwrap();
        let log = EventLog::open(pool.clone(), without_memory(), None)
            .await
            .unwrap();
        append(&log, &drafts(0..Self::EVENTS)).await;
        Self {
            log,
            pool,
            metrics,
            schema,
        }
    }

    fn answers(&self) -> u64 {
        let name = format!("event_log_database_reads_total{{log=\"{}\"}} ", self.schema);
        let rendered = self.metrics.render();
        let line = rendered.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |count| count.parse().unwrap())
    }

    async fn until_no_connection_is_used(&self) {
        eventually(DEADLINE, async || {
            self.pool.num_idle() == self.pool.size() as usize
        })
        .await;
    }
}

/// Takes a page, which is to be this one (1, 2, …).
async fn next_page(follower: &mut Follower, page: u64) {
    let read = next_events(follower).await.unwrap();
    let positions = read.iter().map(|event| event.position);
    assert!(positions.eq((page - 1) * PAGE + 1..=page * PAGE));
}

/// The metrics of this process, which other tests may share.
fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).unwrap();
        handle
    })
}
