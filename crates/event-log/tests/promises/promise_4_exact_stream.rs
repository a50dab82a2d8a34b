//! Exactly the matching events, once each, in order: through catch-up, the switch to live, falling
//! behind, and resuming from a cursor.

use std::{cell::Cell, sync::atomic::Ordering, task::Poll, time::Duration};

use atlas_events::{CustomEvent, Draft, EventFilter, event::Payload};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, Followed, Follower, LogConfig};
use proptest::{collection::vec, prelude::*, sample::subsequence, test_runner::TestRunner};
use test_support::{
    TestDatabase, custom_event, custom_event_at, draft, drafts, eventually, series_event,
    started_at,
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

/// An event of the model: what it is about, and how many hours ago it occurred.
#[derive(Debug, Clone, Copy)]
struct Made {
    kind: Kind,
    hours_ago: i64,
}

impl Made {
    fn occurred_at(self) -> DateTime<Utc> {
        started_at() - TimeDelta::hours(self.hours_ago)
    }

    fn draft(self, n: u64) -> Draft {
        let mut event = custom_event_at(n, self.occurred_at());
        event.payload = match self.kind {
            Kind::Series(index) => series_event(n, SERIES[index], "2024-05-01", "3.9").payload,
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
        EventFilter::new(owned(&self.types), owned(&self.series)).unwrap()
    }

    fn matches(&self, made: Made) -> bool {
        let type_matches = |name: &&str| match made.kind {
            Kind::Series(_) => *name == "SeriesCollectedEvent",
            Kind::Custom(index) => {
                *name == "CustomEvent" || *name == format!("custom:{}", TYPES[index])
            }
        };
        let about = |series: &&str| matches!(made.kind, Kind::Series(i) if SERIES[i] == *series);
        (self.types.is_empty() || self.types.iter().any(type_matches))
            && (self.series.is_empty() || self.series.iter().any(about))
    }
}

#[derive(Debug, Clone, Copy)]
enum Start {
    /// After this share of what is stored, in percent.
    After(usize),
    /// From the first position of this time on.
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
    // Up to a month ago, so that events of one batch lie in several chunks.
    (kind, 0..720i64).prop_map(|(kind, hours_ago)| Made { kind, hours_ago })
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

/// Two processes, a reader of one of them, and the plain list of what was appended.
struct Scene {
    logs: Vec<EventLog>,
    appended: Vec<Made>,
    wanted: Wanted,
    follower: Option<Follower>,
    read: Vec<Place>,
    /// Everything up to here comes before the start.
    skipped: usize,
    live: bool,
}

impl Scene {
    async fn new(url: &str, schema: &str, wanted: Wanted, ring_bytes_max: usize) -> Self {
        let config = || LogConfig {
            ring_bytes_max,
            ..LogConfig::default()
        };
        let mut logs = Vec::new();
        for _ in 0..2 {
            logs.push(open(url, schema, config(), None).await);
        }
        Self {
            logs,
            appended: Vec::new(),
            wanted,
            follower: None,
            read: Vec::new(),
            skipped: 0,
            live: false,
        }
    }

    async fn append(&mut self, process: usize, batch: &[Made]) {
        let drafts: Vec<_> = (self.appended.len() as u64..)
            .zip(batch)
            .map(|(n, made)| made.draft(n))
            .collect();
        self.logs[process].append(drafts).await.unwrap();
        self.appended.extend(batch);
    }

    async fn start(&mut self, start: Start) {
        let (log, filter) = (&self.logs[0], self.wanted.filter());
        let count = self.appended.len();
        let follower = match start {
            Start::After(percent) => {
                self.skipped = count * percent / 100;
                log.follow_after(self.skipped as u64, filter).await
            }
            Start::Since(hours_ago) => {
                let since = started_at() - TimeDelta::hours(hours_ago);
                let first = self.appended.iter().position(|m| m.occurred_at() >= since);
                self.skipped = first.unwrap_or(count);
                log.follow_since(since, filter).await
            }
            Start::Live => {
                self.skipped = count;
                log.follow_live(filter).await
            }
        };
        self.follower = Some(follower.unwrap());
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
        let follower = self.follower.as_mut().unwrap();
        if let Ok(found) = tokio::time::timeout(Duration::from_millis(20), follower.next()).await {
            self.note(found.unwrap());
        }
    }

    /// Drops the call to `next` wherever it has got to.
    async fn abandon(&mut self, polls: u32) {
        let follower = self.follower.as_mut().unwrap();
        let mut polled = 0;
        let mut call = Box::pin(follower.next());
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
        let cursor = self.follower.take().unwrap().cursor();
        let after = cursor.load(Ordering::Acquire);
        let follower = self.logs[process]
            .follow_after(after, self.wanted.filter())
            .await;
        self.follower = Some(follower.unwrap());
        self.live = false;
    }

    async fn finish(mut self) {
        let last_position = self.appended.len() as u64;
        let mut follower = self.follower.take().unwrap();
        let rest = read_up_to(&mut follower, last_position).await;
        self.read.extend(rest.iter().map(place));
        let expected: Vec<Place> = (1..)
            .zip(&self.appended)
            .skip(self.skipped)
            .filter(|(_, made)| self.wanted.matches(**made))
            .map(|(position, made)| (position, made.draft(position - 1).event_id.to_string()))
            .collect();
        assert_eq!(self.read, expected);
        for log in self.logs {
            log.close().await;
        }
    }
}

#[test]
fn exactly_the_wanted_events_come_once_in_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let case = Cell::new(0);
    // Rings that hold nothing, a few batches, and everything.
    let ring_bytes_max = prop_oneof![Just(0), 1_000..30_000usize, Just(10_000_000)];
    let strategy = (
        (wanted(), ring_bytes_max),
        vec(made(), 0..100),
        start(),
        vec(step(), 1..40),
    );
    let checked = TestRunner::new(cases(40)).run(&strategy, |(setting, before, start, steps)| {
        case.set(case.get() + 1);
        runtime.block_on(async {
            let schema = format!("case_{}", case.get());
            let (wanted, ring_bytes_max) = setting;
            let mut scene = Scene::new(&database.url(), &schema, wanted, ring_bytes_max).await;
            scene.append(1, &before).await;
            scene.start(start).await;
            for step in steps {
                match step {
                    Step::Append(process, batch) => scene.append(process, &batch).await,
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

/// A reader must not be told that it has everything while events that were acknowledged before it
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
