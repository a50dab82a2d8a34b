//! Exactly the matching events, once each, in order: through catch-up, the switch to live, falling
//! behind, and resuming from a cursor.

use std::{cell::RefCell, sync::atomic::Ordering, task::Poll, time::Duration};

use atlas_events::{CustomEvent, Draft, EventFilter, WantedEvents, event::Payload};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, Followed, Follower, LogConfig};
use proptest::{collection::vec, prelude::*, sample::subsequence, test_runner::TestRunner};
use test_support::{
    TestDatabase, custom_event, custom_event_at, draft, drafts, eventually, series_event,
};

use crate::common::{
    DEADLINE, Place, TestLog, cases, events, everything, next, next_events, open, place, read_up_to,
};

const SERIES: [&str; 3] = ["UNRATE", "VIXCLS", "ICSA"];
const TYPES: [&str; 2] = ["OrderPlaced", "OrderShipped"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Series(usize),
    Custom(usize),
}

/// An event to append: what it is about, and when it occurs, in hours before the end of its case.
#[derive(Debug, Clone, Copy)]
struct Made {
    kind: Kind,
    hours_before: i64,
}

/// An event of the model.
#[derive(Debug, Clone, Copy)]
struct Stored {
    kind: Kind,
    occurred_at: DateTime<Utc>,
}

impl Stored {
    /// At this position.
    fn draft(self, position: u64) -> Draft {
        let mut event = custom_event_at(position, self.occurred_at);
        event.payload = match self.kind {
            Kind::Series(index) => {
                series_event(position, SERIES[index], "2024-05-01", "3.9").payload
            }
            Kind::Custom(index) => Some(Payload::Custom(CustomEvent {
                r#type: TYPES[index].to_owned(),
                data: None,
            })),
        };
        draft(event)
    }
}

/// A filter by two lists of what is wanted; an empty one wants all.
#[derive(Debug, Clone)]
struct Wanted {
    types: Vec<&'static str>,
    series: Vec<&'static str>,
}

impl Wanted {
    fn filter(&self) -> EventFilter {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        EventFilter::unrestricted(
            WantedEvents::new(owned(&self.types), owned(&self.series)).unwrap(),
        )
    }

    fn matches(&self, stored: Stored) -> bool {
        let type_matches = |name: &&str| match stored.kind {
            Kind::Series(_) => *name == "SeriesCollectedEvent",
            Kind::Custom(index) => {
                *name == "CustomEvent" || *name == format!("custom:{}", TYPES[index])
            }
        };
        let about = |series: &&str| matches!(stored.kind, Kind::Series(i) if SERIES[i] == *series);
        (self.types.is_empty() || self.types.iter().any(type_matches))
            && (self.series.is_empty() || self.series.iter().any(about))
    }
}

#[derive(Debug, Clone, Copy)]
enum Start {
    /// After this share of what the case has stored, in percent.
    After(usize),
    /// From the first position on of a time so many hours before the end of the case.
    Since(i64),
    Live,
}

#[derive(Debug, Clone)]
enum Step {
    /// One of the processes appends a batch.
    Append(usize, Vec<Made>),
    /// The reader takes what comes next.
    Read,
    /// The reader asks for what comes next and loses interest after so many polls.
    Abandon(u32),
    /// The reader comes back with its cursor, to one of the processes.
    Resume(usize),
}

fn made() -> impl Strategy<Value = Made> {
    let kind = prop_oneof![
        (0..SERIES.len()).prop_map(Kind::Series),
        (0..TYPES.len()).prop_map(Kind::Custom),
    ];
    // Within a month, so that events of one batch lie in several chunks.
    (kind, 0..720i64).prop_map(|(kind, hours_before)| Made { kind, hours_before })
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let types = vec![
        "SeriesCollectedEvent",
        "CustomEvent",
        "custom:OrderPlaced",
        "ThresholdCrossedEvent",
    ];
    let series = SERIES.to_vec();
    let few = prop_oneof![2 => Just(0..=0), 3 => Just(1..=2)];
    let types = few
        .clone()
        .prop_flat_map(move |n| subsequence(types.clone(), n));
    let series = few.prop_flat_map(move |n| subsequence(series.clone(), n));
    (types, series).prop_map(|(types, series)| Wanted { types, series })
}

fn start() -> impl Strategy<Value = Start> {
    prop_oneof![
        (0..=100usize).prop_map(Start::After),
        (0..=730i64).prop_map(Start::Since),
        Just(Start::Live),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let process = || 0..2usize;
    prop_oneof![
        4 => (process(), vec(made(), 1..30)).prop_map(|(p, batch)| Step::Append(p, batch)),
        5 => Just(Step::Read),
        3 => (0..4u32).prop_map(Step::Abandon),
        1 => process().prop_map(Step::Resume),
    ]
}

/// Two processes with rings of the same size on one log, and all that was appended to it. Cases
/// follow each other on it, each a month later than the one before.
struct Ground {
    logs: Vec<EventLog>,
    stored: Vec<Stored>,
    now: DateTime<Utc>,
}

impl Ground {
    async fn new(url: &str, ring_bytes_max: usize) -> Self {
        let config = || LogConfig {
            ring_bytes_max,
            retention: None,
            ..LogConfig::default()
        };
        let schema = format!("ring_of_{ring_bytes_max}");
        let mut logs = Vec::new();
        for _ in 0..2 {
            logs.push(open(url, &schema, config(), None).await);
        }
        Self {
            logs,
            stored: Vec::new(),
            now: "2000-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    async fn append(&mut self, process: usize, batch: &[Made]) {
        let first = self.stored.len();
        self.stored.extend(batch.iter().map(|made| Stored {
            kind: made.kind,
            occurred_at: self.now - TimeDelta::hours(made.hours_before),
        }));
        let fresh = (1..).zip(&self.stored).skip(first);
        let drafts = fresh.map(|(position, stored)| stored.draft(position));
        self.logs[process].append(drafts.collect()).await.unwrap();
    }

    /// A reader, and how much comes before its start.
    async fn start(&self, start: Start, before: usize, wanted: &Wanted) -> (Follower, usize) {
        let (log, filter) = (&self.logs[0], wanted.filter());
        let count = self.stored.len();
        let (follower, skipped) = match start {
            Start::After(percent) => {
                let after = before + (count - before) * percent / 100;
                (log.follow_after(after as u64, filter).await, after)
            }
            Start::Since(hours_before) => {
                let since = self.now - TimeDelta::hours(hours_before);
                let first = self.stored.iter().position(|s| s.occurred_at >= since);
                (
                    log.follow_since(since, filter).await,
                    first.unwrap_or(count),
                )
            }
            Start::Live => (log.follow_live(filter).await, count),
        };
        (follower.unwrap(), skipped)
    }
}

/// A reader, and what it has read.
struct Scene<'a> {
    ground: &'a mut Ground,
    wanted: Wanted,
    follower: Follower,
    read: Vec<Place>,
    /// Everything up to here comes before the start.
    skipped: usize,
    live: bool,
}

impl<'a> Scene<'a> {
    async fn new(ground: &'a mut Ground, wanted: Wanted, before: &[Made], start: Start) -> Self {
        ground.now += TimeDelta::days(30);
        let count = ground.stored.len();
        ground.append(1, before).await;
        let (follower, skipped) = ground.start(start, count, &wanted).await;
        Self {
            ground,
            wanted,
            follower,
            read: Vec::new(),
            skipped,
            live: false,
        }
    }

    fn note(&mut self, found: Followed) {
        match found {
            Followed::Events(delivery) => {
                assert!(delivery.count > 0);
                self.read.extend(events(&delivery).iter().map(place));
            }
            Followed::CaughtUp => assert!(!std::mem::replace(&mut self.live, true)),
            Followed::FellBehind => assert!(std::mem::replace(&mut self.live, false)),
        }
    }

    /// Takes what comes next; nothing may come, so this waits for a while only.
    async fn read(&mut self) {
        let waiting = tokio::time::timeout(Duration::from_millis(5), self.follower.next());
        if let Ok(found) = waiting.await {
            self.note(found.unwrap());
        }
    }

    /// Drops the call to `next` wherever it has got to.
    async fn abandon(&mut self, polls: u32) {
        let mut polled = 0;
        let mut call = Box::pin(self.follower.next());
        let found = std::future::poll_fn(|context| {
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
        .await;
        drop(call);
        if let Some(found) = found {
            self.note(found.unwrap());
        }
    }

    async fn resume(&mut self, process: usize) {
        let after = self.follower.cursor().load(Ordering::Acquire);
        let resumed = self.ground.logs[process].follow_after(after, self.wanted.filter());
        self.follower = resumed.await.unwrap();
        self.live = false;
    }

    async fn finish(mut self) {
        let stored = &self.ground.stored;
        let rest = read_up_to(&mut self.follower, stored.len() as u64).await;
        self.read.extend(rest.iter().map(place));
        let expected: Vec<Place> = (1..)
            .zip(stored)
            .skip(self.skipped)
            .filter(|(_, stored)| self.wanted.matches(**stored))
            .map(|(position, stored)| (position, stored.draft(position).event_id.to_string()))
            .collect();
        assert_eq!(self.read, expected);
    }
}

#[test]
fn exactly_the_wanted_events_come_once_in_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    // Rings that hold nothing, a few batches, and everything.
    let grounds = [0, 3_000, 20_000, 10_000_000].map(|ring_bytes_max| {
        RefCell::new(runtime.block_on(Ground::new(&database.url(), ring_bytes_max)))
    });
    let strategy = (
        (0..grounds.len(), wanted()),
        vec(made(), 0..100),
        start(),
        vec(step(), 1..40),
    );
    let checked = TestRunner::new(cases(50)).run(&strategy, |(setting, before, start, steps)| {
        let (ground, wanted) = setting;
        let mut ground = grounds[ground].borrow_mut();
        runtime.block_on(async {
            let mut scene = Scene::new(&mut ground, wanted, &before, start).await;
            for step in steps {
                match step {
                    Step::Append(process, batch) => scene.ground.append(process, &batch).await,
                    Step::Read => scene.read().await,
                    Step::Abandon(polls) => scene.abandon(polls).await,
                    Step::Resume(process) => scene.resume(process).await,
                }
            }
            scene.finish().await;
        });
        Ok(())
    });
    checked.unwrap();
}

/// A reader must not get "caught up" while events that were acknowledged before it
/// began are still to come.
#[tokio::test]
async fn caught_up_comes_after_all_that_was_stored_before() {
    let test = TestLog::create().await;
    let appending = test.open().await;
    // This process hears nothing of what others append.
    let deaf = test
        .open_with(LogConfig {
            poll_interval: Duration::from_secs(3_600),
            ..LogConfig::default()
        })
        .await;
    appending.append(drafts(0..1)).await.unwrap();
    eventually(DEADLINE, async || deaf.tail_position() == 1).await;
    test.append_silently().await;

    let mut follower = deaf.follow_after(0, everything()).await.unwrap();
    let mut read = Vec::new();
    while let Followed::Events(delivery) = next(&mut follower).await.unwrap() {
        read.extend(events(&delivery).iter().map(|event| event.position));
    }
    assert_eq!(read, [1, 2]);

    // What is appended next finds its way as ever.
    appending.append(drafts(2..3)).await.unwrap();
    let live = next_events(&mut follower).await.unwrap();
    assert_eq!(live[0].position, 3);
}

#[tokio::test]
async fn a_follower_of_an_empty_log_is_caught_up_and_then_live() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let from_start = log.follow_after(0, everything()).await.unwrap();
    let from_now = log.follow_live(everything()).await.unwrap();
    let mut followers = [from_start, from_now];
    for follower in &mut followers {
        assert!(matches!(next(follower).await, Ok(Followed::CaughtUp)));
    }
    let appended = draft(custom_event(0));
    log.append(vec![appended.clone()]).await.unwrap();
    for follower in &mut followers {
        let read = next_events(follower).await.unwrap();
        assert_eq!(read[0].event_id, appended.event_id.to_string());
    }
}

#[tokio::test]
async fn a_cursor_beyond_the_last_position_is_refused() {
    let test = TestLog::create().await;
    let log = test.open().await;
    log.append(drafts(0..3)).await.unwrap();
    let refused = log.follow_after(4, everything()).await;
    assert!(matches!(
        refused,
        Err(event_log::LogError::BeyondHead {
            after: 4,
            last_position: 3
        })
    ));
    assert!(log.follow_after(3, everything()).await.is_ok());
}
