use atlas_events::DefinitionChange;
use chrono::{DateTime, Days, NaiveDate, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::{PgPool, PgTransaction};
use test_support::{EventIds, TestDatabase};

use super::*;
use crate::{
    series::{Cause, Point, steps},
    store::{Change, Put},
};

struct Bench {
    pool: PgPool,
    random: StdRng,
    ids: EventIds,
    made: u64,
    _database: TestDatabase,
}

impl Bench {
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let pool = event_log::connect(&database.url(), "engine", 2)
            .await
            .unwrap();
        store::migrate(&pool).await.unwrap();
        Self {
            pool,
            random: StdRng::seed_from_u64(1),
            ids: EventIds::new(1),
            made: 0,
            _database: database,
        }
    }

    /// Values that cross 50 now and then, some of them of the past.
    fn points(&mut self, count: usize) -> Vec<Point> {
        let began = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let points = (0..count).map(|_| {
            self.made += 1;
            let known_from = DateTime::<Utc>::UNIX_EPOCH + Days::new(self.made);
            let day = self.made - self.random.random_range(0..self.made.min(5));
            Point {
                cause: Cause {
                    source: "collector".into(),
                    position: self.made,
                    index: 0,
                    event_id: self.ids.make(known_from),
                    occurred_at: known_from,
                },
                series: ["ALPHA", "BETA"][self.random.random_range(0..2)].into(),
                date: began + Days::new(day),
                known_from,
                value: Some(self.random.random_range(0..100).into()),
            }
        });
        points.collect()
    }

    async fn begin(&self) -> (PgTransaction<'static>, Head) {
        let mut transaction = self.pool.begin().await.unwrap();
        let head = store::lock_head(&mut transaction).await.unwrap();
        (transaction, head)
    }

    /// Has a memory do something in a transaction that commits or does not.
    async fn step(&self, memory: &mut Memory, step: &Step, commits: bool) -> Vec<String> {
        let (mut transaction, head) = self.begin().await;
        memory.agree(&mut transaction, head).await.unwrap();
        memory.changing();
        let (stands_at, emissions) = match step {
            Step::Points(points) => {
                let stored = store::append_points(&mut transaction, head, points).await;
                (stored.unwrap().unwrap(), told(&mut memory.engine, points))
            }
            Step::Definition(limit) => {
                define(&mut transaction, memory, head, *limit).await;
                let moved = store::move_head(&mut transaction, head.last_sequence).await;
                (moved.unwrap(), Vec::new())
            }
        };
        memory.changed(stands_at);
        match commits {
            true => transaction.commit().await.unwrap(),
            false => transaction.rollback().await.unwrap(),
        }
        emissions
    }

    /// Whether a memory can be brought up to what is committed by playing points alone.
    async fn catches_up(&self, memory: &mut Memory) -> bool {
        let (mut transaction, head) = self.begin().await;
        memory.catch_up(&mut transaction, head).await.unwrap()
    }
}

enum Step {
    Points(Vec<Point>),
    /// A pattern of two series is at work with another limit, or taken away.
    Definition(Option<u32>),
}

/// Everything that points bring about, word for word.
fn told(engine: &mut Engine, points: &[Point]) -> Vec<String> {
    let mut emissions = Vec::new();
    for step in steps(points) {
        engine.apply(step, &mut emissions);
    }
    emissions.iter().map(|told| format!("{told:?}")).collect()
}

async fn define(
    transaction: &mut PgTransaction<'_>,
    memory: &mut Memory,
    head: Head,
    limit: Option<u32>,
) {
    let put = limit.map(|limit| Put {
        version: limit.to_string(),
        file: "high.toml".to_owned(),
        content: definition(limit),
    });
    let change = Change {
        kind: Kind::Pattern,
        id: "high".to_owned(),
        put,
        after_sequence: head.last_sequence,
    };
    let action = DefinitionChange::Unspecified;
    store::insert_change(transaction, &change, action, "")
        .await
        .unwrap();
    match &change.put {
        Some(put) => {
            let definition = Definition::read(Kind::Pattern, put).unwrap();
            memory.put(transaction, &definition).await.unwrap();
        }
        None => drop(memory.remove(Kind::Pattern, "high")),
    }
}

fn definition(limit: u32) -> String {
    format!(
        "id = \"high\"\nname = \"High\"\ndescription = \"Alpha is high.\"\nseverity = \"info\"\n\
         when = 'ALPHA + BETA.mean(3) > {limit}'\n\
         [inputs.ALPHA]\nunit = \"points\"\nfrequency = \"daily\"\n\
         [inputs.BETA]\nunit = \"points\"\nfrequency = \"daily\"\n"
    )
}

#[tokio::test]
async fn only_what_others_added_is_played_where_nothing_else_happened() {
    let mut bench = Bench::create().await;
    let (mut one, mut other) = (Memory::new(), Memory::new());
    bench
        .step(&mut one, &Step::Definition(Some(80)), true)
        .await;
    assert!(!bench.catches_up(&mut other).await, "it knows nothing yet");
    let points = Step::Points(bench.points(10));
    bench.step(&mut other, &points, true).await;
    assert!(
        bench.catches_up(&mut one).await,
        "behind its own definition"
    );
    for _ in 0..3 {
        let points = Step::Points(bench.points(5));
        bench.step(&mut one, &points, true).await;
        assert!(bench.catches_up(&mut other).await, "behind a catch-up");
    }

    let undone = Step::Points(bench.points(5));
    bench.step(&mut other, &undone, false).await;
    let instead = Step::Points(bench.points(5));
    bench.step(&mut one, &instead, true).await;
    assert!(
        !bench.catches_up(&mut other).await,
        "it holds points that were undone"
    );

    let points = Step::Points(bench.points(5));
    bench.step(&mut other, &points, true).await;
    bench
        .step(&mut one, &Step::Definition(Some(90)), true)
        .await;
    assert!(
        !bench.catches_up(&mut other).await,
        "a definition has changed"
    );
}

#[tokio::test]
async fn a_memory_tells_what_one_made_anew_tells_whatever_others_did() {
    const STEPS: usize = 150;
    let mut bench = Bench::create().await;
    let mut memories = [Memory::new(), Memory::new(), Memory::new()];
    let mut told_count = 0;
    for _ in 0..STEPS {
        let step = match bench.random.random_range(0..20) {
            0 => Step::Definition(None),
            1 | 2 => Step::Definition(Some(bench.random.random_range(70..120))),
            _ => {
                let count = bench.random.random_range(1..8);
                Step::Points(bench.points(count))
            }
        };
        let commits = bench.random.random_bool(0.75);
        let chosen = bench.random.random_range(0..memories.len());
        let (mut transaction, head) = bench.begin().await;
        let mut anew = Memory::new();
        anew.agree(&mut transaction, head).await.unwrap();
        transaction.rollback().await.unwrap();
        let emissions = bench.step(&mut memories[chosen], &step, commits).await;
        if let Step::Points(points) = &step {
            assert_eq!(emissions, told(&mut anew.engine, points));
        }
        told_count += emissions.len();
    }
    assert!(told_count > 50, "{told_count}");
}
