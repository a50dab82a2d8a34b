//! Publishing an id again stores nothing and returns the position of the first.

use std::{cell::RefCell, collections::HashMap};

use atlas_events::Draft;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, LogConfig, Receipt};
use futures::future::join_all;
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use sqlx::{Connection, PgConnection};
use test_support::{
    TestDatabase, custom_event, custom_event_at, draft, drafts, series_event, started_at,
};
use ulid::Ulid;

use crate::common::{
    DEADLINE, SCHEMA, TestLog, cases, chunk_boundary, everything, open, read_up_to,
};

/// Few ids, so that most are repeats.
const IDS: u64 = 40;
/// More than are stored in one statement.
const CROWD: u64 = 40;

/// One appearance of an id. `minutes` apart from the time in the id it occurred.
#[derive(Debug, Clone)]
struct Appearance {
    n: u64,
    minutes: i64,
}

impl Appearance {
    /// The times in the first ids lie around the boundary of two chunks, so that twins often lie in
    /// different ones.
    fn draft(&self, boundary: DateTime<Utc>) -> Draft {
        let number = self.n.min(IDS) as i64;
        let id_time = boundary + TimeDelta::minutes(6 * (number - IDS as i64 / 2));
        let mut event = custom_event_at(self.n, id_time);
        let occurred_at = id_time + TimeDelta::minutes(self.minutes);
        event.occurred_at = Some(occurred_at.into());
        draft(event)
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Appends a batch by one of the processes.
    Append(usize, Vec<Appearance>),
    /// Appends several batches that wait together.
    Pipeline(usize, Vec<Vec<Appearance>>),
    /// The same, each among so many events of its own that it may be prepared ahead of the others.
    Crowded(usize, Vec<Vec<Appearance>>),
    /// Appends a batch within a transaction of the caller's, which is kept or not.
    Transaction(usize, Vec<Appearance>, bool),
    /// Ends a process and starts it again.
    Reopen(usize),
}

fn appearance() -> impl Strategy<Value = Appearance> {
    let minutes = prop_oneof![Just(0), Just(60), Just(-60), -60..=60i64];
    (0..IDS, minutes).prop_map(|(n, minutes)| Appearance { n, minutes })
}

fn step() -> impl Strategy<Value = Step> {
    let process = || 0..2usize;
    prop_oneof![
        4 => (process(), vec(appearance(), 1..12)).prop_map(|(p, b)| Step::Append(p, b)),
        2 => (process(), vec(vec(appearance(), 1..6), 2..6))
            .prop_map(|(p, batches)| Step::Pipeline(p, batches)),
        2 => (process(), vec(vec(appearance(), 0..4), 2..6))
            .prop_map(|(p, batches)| Step::Crowded(p, batches)),
        2 => (process(), vec(appearance(), 1..8), any::<bool>())
            .prop_map(|(p, b, kept)| Step::Transaction(p, b, kept)),
        1 => process().prop_map(Step::Reopen),
    ]
}

/// What the log is to do, on a plain map.
#[derive(Default, Clone)]
struct Model {
    /// The last position before.
    before: u64,
    positions: HashMap<u64, u64>,
}

impl Model {
    /// Position of each event, and whether it is a repeat.
    fn append(&mut self, batch: &[Appearance]) -> Vec<(u64, bool)> {
        let mut receipts = Vec::new();
        for appearance in batch {
            let next = self.before + self.positions.len() as u64 + 1;
            let known = self.positions.get(&appearance.n).copied();
            receipts.push((known.unwrap_or(next), known.is_some()));
            self.positions.entry(appearance.n).or_insert(next);
        }
        receipts
    }
}

fn outcomes(receipts: &[Receipt]) -> Vec<(u64, bool)> {
    receipts.iter().map(|r| (r.position, r.duplicate)).collect()
}

/// Processes on one log. Cases follow each other on it, each at a boundary of chunks of its own.
struct Scene {
    url: String,
    logs: Vec<EventLog>,
    boundary: DateTime<Utc>,
    model: Model,
    /// The next number of an event that nothing repeats.
    unused: u64,
}

impl Scene {
    async fn new(database: &TestDatabase) -> Self {
        let url = database.url();
        let mut logs = Vec::new();
        for _ in 0..2 {
            logs.push(open_process(&url).await);
        }
        Self {
            url,
            logs,
            boundary: chunk_boundary(started_at(), 400),
            model: Model::default(),
            unused: IDS,
        }
    }

    async fn begin(&mut self) {
        self.boundary += TimeDelta::weeks(1);
        self.unused = IDS;
        self.model = Model {
            before: self.logs[0].head().await.unwrap().last_position,
            positions: HashMap::new(),
        };
    }

    fn drafts(&self, batch: &[Appearance]) -> Vec<Draft> {
        batch.iter().map(|a| a.draft(self.boundary)).collect()
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::Append(log, batch) => {
                let receipts = self.logs[*log].append(self.drafts(batch)).await.unwrap();
                assert_eq!(outcomes(&receipts), self.model.append(batch));
            }
            Step::Pipeline(log, batches) => self.pipeline(*log, batches).await,
            Step::Crowded(log, batches) => {
                let crowded: Vec<_> = batches.iter().map(|b| self.crowd(b)).collect();
                self.pipeline(*log, &crowded).await;
            }
            Step::Transaction(log, batch, kept) => self.transact(*log, batch, *kept).await,
            Step::Reopen(log) => {
                self.logs[*log].close().await;
                self.logs[*log] = open_process(&self.url).await;
            }
        }
    }

    async fn pipeline(&mut self, log: usize, batches: &[Vec<Appearance>]) {
        let log = &self.logs[log];
        let enqueue = |batch: &Vec<_>| log.enqueue(self.drafts(batch));
        let pending: Vec<_> = batches.iter().map(enqueue).collect();
        for (pending, batch) in pending.into_iter().zip(batches) {
            let receipts = pending.await.unwrap();
            assert_eq!(outcomes(&receipts), self.model.append(batch));
        }
    }

    /// A batch with others behind it.
    fn crowd(&mut self, batch: &[Appearance]) -> Vec<Appearance> {
        let others = self.unused..self.unused + CROWD;
        self.unused = others.end;
        let others = others.map(|n| Appearance { n, minutes: 0 });
        batch.iter().cloned().chain(others).collect()
    }

    async fn transact(&mut self, log: usize, batch: &[Appearance], kept: bool) {
        let options = event_log::connect_options(&self.url, SCHEMA).unwrap();
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let drafts = self.drafts(batch);
        let appended = self.logs[log].append_in(&mut transaction, drafts).await;
        let appended = appended.unwrap();
        let mut model = self.model.clone();
        assert_eq!(outcomes(appended.receipts()), model.append(batch));
        if kept {
            transaction.commit().await.unwrap();
            appended.committed();
            self.model = model;
        } else {
            transaction.rollback().await.unwrap();
        }
    }

    /// Every id is stored once, where the model has it.
    async fn check_stored(&self) {
        let before = self.model.before;
        let mut reader = self.logs[0]
            .follow_after(before, everything())
            .await
            .unwrap();
        let last = before + self.model.positions.len() as u64;
        assert_eq!(self.logs[0].head().await.unwrap().last_position, last);
        let stored: HashMap<_, _> = read_up_to(&mut reader, last)
            .await
            .iter()
            .map(|event| {
                let id: Ulid = event.event_id.parse().unwrap();
                (id.random() as u64, event.position)
            })
            .collect();
        assert_eq!(stored, self.model.positions);
    }
}

async fn open_process(url: &str) -> EventLog {
    let config = LogConfig {
        retention: None,
        ..LogConfig::default()
    };
    open(url, SCHEMA, config, None).await
}

#[test]
fn a_repeat_stores_nothing_and_names_the_first_position() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::create());
    let scene = RefCell::new(runtime.block_on(Scene::new(&database)));
    let checked = TestRunner::new(cases(24)).run(&vec(step(), 1..16), |steps| {
        let mut scene = scene.borrow_mut();
        runtime.block_on(async {
            scene.begin().await;
            for step in &steps {
                scene.take(step).await;
            }
            scene.check_stored().await;
        });
        Ok(())
    });
    checked.unwrap();
}

#[tokio::test]
async fn republishing_many_stores_none() {
    const EVENTS: u64 = 100_000;
    let test = TestLog::create().await;
    let log = test
        .open_with(LogConfig {
            queue_events_max: EVENTS as usize,
            queue_bytes_max: usize::MAX,
            append_timeout: 4 * DEADLINE,
            ..LogConfig::default()
        })
        .await;
    for repeat in [false, true] {
        let pending: Vec<_> = (0..EVENTS / 1_000)
            .map(|batch| log.enqueue(drafts(batch * 1_000..batch * 1_000 + 1_000)))
            .collect();
        let receipts = join_all(pending).await;
        let receipts: Vec<_> = receipts.into_iter().flat_map(Result::unwrap).collect();
        let expected: Vec<_> = (1..=EVENTS).map(|position| (position, repeat)).collect();
        assert_eq!(outcomes(&receipts), expected);
    }
    assert_eq!(log.head().await.unwrap().last_position, EVENTS);
    let stored: i64 = sqlx::query_scalar("select count(*) from events")
        .fetch_one(&mut test.connection().await)
        .await
        .unwrap();
    assert_eq!(stored as u64, EVENTS);
}

#[tokio::test]
async fn an_id_whose_other_content_differs_is_still_a_repeat() {
    let test = TestLog::create().await;
    let log = test.open().await;
    let first = draft(custom_event(1));
    log.append(vec![first.clone()]).await.unwrap();
    let mut other = series_event(1, "UNRATE", "2024-05-01", "3.9");
    other.source_service = "another".to_owned();
    let receipts = log.append(vec![draft(other)]).await.unwrap();
    assert_eq!(outcomes(&receipts), [(1, true)]);
    let found = log.find(first.event_id).await.unwrap().unwrap();
    assert_eq!(found.payload, custom_event(1).payload);
}
