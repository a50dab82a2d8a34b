mod snapshots;

use atlas_events::DefinitionChange;
use chrono::{DateTime, Days, NaiveDate, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::{PgPool, PgTransaction};
use test_support::{EventIds, TestDatabase};
use tokio::sync::OwnedMutexGuard;

use super::*;
use crate::{
    service::recovery::{Progress, Recovery},
    store::{Change, Put},
};
use evaluation::series::{Cause, Point, steps};

struct Bench {
    pool: PgPool,
    random: StdRng,
    ids: EventIds,
    made: u64,
    database: TestDatabase,
}

impl Bench {
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let pool = event_log::connect(&database.url(), "engine", 5)
            .await
            .unwrap();
        event_log::run_migrations(&pool, &store::MIGRATOR)
            .await
            .unwrap();
        Self {
            pool,
            random: StdRng::seed_from_u64(1),
            ids: EventIds::new(1),
            made: 0,
            database,
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

    /// The database, for sessions that end rather than wait for a lock.
    fn url_without_waiting(&self) -> String {
        let url = self.database.url();
        let sign = if url.contains('?') { '&' } else { '?' };
        format!("{url}{sign}options=-c%20lock_timeout%3D1ms")
    }

    async fn begin(&self) -> (PgTransaction<'static>, Head) {
        let mut transaction = self.pool.begin().await.unwrap();
        let head = store::lock_head(&mut transaction).await.unwrap();
        (transaction, head)
    }

    /// A memory of nothing yet, and what brings it up.
    fn memory(&self) -> Kept {
        let memory = Arc::new(Mutex::new(Memory::new()));
        let progress = Arc::<Progress>::default();
        let recovery = Recovery::new(self.pool.clone(), Arc::clone(&memory), progress);
        Kept { memory, recovery }
    }

    /// Has a memory do something in a transaction that commits or does not.
    async fn step(&self, kept: &Kept, step: &Step, commits: bool) -> Vec<String> {
        let (mut transaction, head, mut memory) = kept.agreed(self).await;
        memory.changing();
        let (stands_at, emissions) = match step {
            Step::Points(points) => {
                let stored = store::append_points(&mut transaction, head, points).await;
                (
                    stored.unwrap().unwrap(),
                    emitted(&mut memory.engine, points),
                )
            }
            Step::Definition(limit) => {
                define(&mut transaction, &mut memory, head, *limit).await;
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

    /// Whether a memory agrees with what is committed without anything that was done before.
    async fn agrees(&self, kept: &Kept) -> bool {
        let (mut transaction, head) = self.begin().await;
        let agreed = kept.memory.lock().await.agree(&mut transaction, head).await;
        match agreed {
            Ok(()) => true,
            Err(AgreeError::Behind) => false,
            Err(AgreeError::Database(error)) => panic!("{error}"),
        }
    }
}

struct Kept {
    memory: SharedMemory,
    recovery: Recovery,
}

impl Kept {
    /// With the head locked, however often it has to be brought up before.
    async fn agreed(
        &self,
        bench: &Bench,
    ) -> (PgTransaction<'static>, Head, OwnedMutexGuard<Memory>) {
        loop {
            self.recovery.approach().await.unwrap();
            let (mut transaction, head) = bench.begin().await;
            let mut memory = Arc::clone(&self.memory).lock_owned().await;
            match memory.agree(&mut transaction, head).await {
                Ok(()) => return (transaction, head, memory),
                Err(AgreeError::Behind) => transaction.rollback().await.unwrap(),
                Err(AgreeError::Database(error)) => panic!("{error}"),
            }
        }
    }

    /// Everything that it knows, once it agrees.
    async fn facts(&self, bench: &Bench) -> String {
        let (transaction, _, memory) = self.agreed(bench).await;
        transaction.rollback().await.unwrap();
        memory.engine.facts()
    }
}

enum Step {
    Points(Vec<Point>),
    /// A pattern of two series is running with another limit, or taken away.
    Definition(Option<u32>),
}

/// Everything that points bring about, word for word.
fn emitted(engine: &mut Engine, points: &[Point]) -> Vec<String> {
    let mut emissions = Vec::new();
    for step in steps(points) {
        engine.apply(step, &mut emissions);
    }
    emissions
        .iter()
        .map(|emitted| format!("{emitted:?}"))
        .collect()
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
async fn under_the_lock_few_points_are_played_and_what_was_undone_is_taken_back() {
    let mut bench = Bench::create().await;
    let (one, other) = (bench.memory(), bench.memory());
    bench.step(&one, &Step::Definition(Some(80)), true).await;
    assert!(!bench.agrees(&other).await, "it knows no definition yet");
    other.recovery.approach().await.unwrap();
    for _ in 0..3 {
        let points = Step::Points(bench.points(5));
        bench.step(&one, &points, true).await;
        assert!(bench.agrees(&other).await, "behind points");
    }

    let undone = Step::Points(bench.points(5));
    bench.step(&other, &undone, false).await;
    let instead = Step::Points(bench.points(5));
    bench.step(&one, &instead, true).await;
    assert!(
        bench.agrees(&other).await,
        "it held points that were undone"
    );
    assert_eq!(other.facts(&bench).await, one.facts(&bench).await);

    bench.step(&one, &Step::Definition(Some(90)), true).await;
    assert!(!bench.agrees(&other).await, "a definition has changed");
    other.recovery.approach().await.unwrap();
    assert!(bench.agrees(&other).await);
    assert_eq!(other.facts(&bench).await, one.facts(&bench).await);

    let many = usize::try_from(LAST_STRETCH_POINTS + 1).unwrap();
    let points = Step::Points(bench.points(many));
    bench.step(&one, &points, true).await;
    assert!(!bench.agrees(&other).await, "behind many points");
    other.recovery.approach().await.unwrap();
    assert!(bench.agrees(&other).await);
}

/// Another engine holds the head, as while it consumes: whoever starts reads all without waiting for
/// it, and in transactions that end with each page.
#[tokio::test]
async fn what_is_recorded_is_read_without_the_lock_of_the_head() {
    const BATCHES: usize = 5;
    const BATCH_POINTS: usize = 4_000;
    let mut bench = Bench::create().await;
    let (working, starting) = (bench.memory(), bench.memory());
    let mut definition = Step::Definition(Some(80));
    for limit in [90, 70] {
        bench.step(&working, &definition, true).await;
        for _ in 0..BATCHES {
            let points = Step::Points(bench.points(BATCH_POINTS));
            bench.step(&working, &points, true).await;
        }
        definition = Step::Definition(Some(limit));
    }
    bench.step(&working, &definition, true).await;
    let (mut transaction, head) = bench.begin().await;
    sqlx::query("set local idle_in_transaction_session_timeout = 0")
        .execute(&mut *transaction)
        .await
        .unwrap();
    // The first lock that it had to wait for would be an error.
    let pool = event_log::connect(&bench.url_without_waiting(), "engine", 1)
        .await
        .unwrap();
    let progress = Arc::<Progress>::default();
    let recovery = Recovery::new(pool.clone(), Arc::clone(&starting.memory), progress);
    let before = transactions_of(&pool).await;
    recovery.approach().await.unwrap();
    let transactions = transactions_of(&pool).await - before;
    // Each page, each text of a definition and each series that is read first, at least.
    assert!(transactions > 8, "{transactions}");
    assert_eq!(starting.memory.lock().await.head(), Some(head));
    // Nor does a pattern that is to be deployed wait for it.
    let put = Put {
        version: "60".to_owned(),
        file: "high.toml".to_owned(),
        content: self::definition(60),
    };
    let pattern = Definition::read(Kind::Pattern, &put).unwrap();
    let (_, prepared) = recovery.make_ready(vec![pattern]).await.unwrap();
    assert_eq!(prepared.len(), 1);
    transaction.rollback().await.unwrap();
    assert_eq!(starting.facts(&bench).await, working.facts(&bench).await);
}

/// How many transactions the only session of a pool has had.
async fn transactions_of(pool: &PgPool) -> i64 {
    let counting = sqlx::query_scalar(
        "select split_part(virtualtransaction, '/', 2)::bigint from pg_locks
         where pid = pg_backend_pid() and locktype = 'virtualxid'",
    );
    counting.fetch_one(pool).await.unwrap()
}

/// An engine that has received nothing looks each second, and does not load its snapshot each time.
#[tokio::test]
async fn while_nothing_is_recorded_the_memory_is_kept() {
    let bench = Bench::create().await;
    let kept = bench.memory();
    kept.recovery.approach().await.unwrap();
    // Shows whether another one took its place.
    let put = Put {
        version: String::new(),
        file: "high.toml".to_owned(),
        content: definition(1),
    };
    let Definition::Pattern(pattern) = Definition::read(Kind::Pattern, &put).unwrap() else {
        panic!("a pattern is another definition");
    };
    kept.memory.lock().await.engine = Engine::new([pattern], []);
    kept.recovery.approach().await.unwrap();
    assert_eq!(kept.memory.lock().await.engine.patterns().len(), 1);
}

#[tokio::test]
async fn a_memory_tells_what_one_made_anew_tells_whatever_others_did() {
    const STEPS: usize = 150;
    let mut bench = Bench::create().await;
    let memories = [bench.memory(), bench.memory(), bench.memory()];
    let mut emitted_count = 0;
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
        let anew = bench.memory();
        let facts = anew.facts(&bench).await;
        assert_eq!(memories[chosen].facts(&bench).await, facts);
        let emissions = bench.step(&memories[chosen], &step, commits).await;
        if let Step::Points(points) = &step {
            assert_eq!(
                emissions,
                emitted(&mut anew.memory.lock().await.engine, points)
            );
        }
        emitted_count += emissions.len();
    }
    assert!(emitted_count > 50, "{emitted_count}");
}
