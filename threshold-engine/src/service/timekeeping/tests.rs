use atlas_events::DefinitionChange;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use consumer::{Consumer, ConsumerConfig, Source};
use event_log::{EventLog, LogConfig};
use std::sync::Arc;
use test_support::TestDatabase;
use tokio::sync::Mutex;
use ulid::Ulid;

use super::*;
use crate::{
    handler::SERVICE,
    service::{
        memory::{Definition, Memory},
        recovery::{Progress, Recovery, Written, write_snapshot},
    },
    store::{Change, Kind, Put},
};
use evaluation::series::{Cause, end_of};

const SILENT: &str = "id = \"silent\"\nname = \"Silent\"\ndescription = \"d\"\nseverity = \"info\"\n\
                      when = 'ALPHA.days_since() > 1'\n\
                      [inputs.ALPHA]\nunit = \"points\"\nfrequency = \"daily\"\n";

/// A database, and any number of engines on it.
struct Bench {
    pool: PgPool,
    log: EventLog,
    _database: TestDatabase,
}

struct Kept {
    timekeeper: Timekeeper,
    memory: SharedMemory,
    recovery: Recovery,
}

impl Kept {
    /// As often as an engine that is behind has to be asked.
    async fn pass_to(&mut self, moment: DateTime<Utc>) -> usize {
        loop {
            self.recovery.approach().await.unwrap();
            match self.timekeeper.pass_to(moment).await {
                Ok(days) => return days,
                Err(TimeError::Agree(AgreeError::Behind)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn facts(&self) -> String {
        self.recovery.approach().await.unwrap();
        self.memory.lock().await.engine.facts()
    }
}

impl Bench {
    async fn create() -> Self {
        let database = TestDatabase::create().await;
        let pool = event_log::connect(&database.url(), "engine", 6)
            .await
            .unwrap();
        event_log::run_migrations(&pool, &store::MIGRATOR)
            .await
            .unwrap();
        let log = EventLog::open(pool.clone(), LogConfig::default(), None).await;
        Self {
            pool,
            log: log.unwrap(),
            _database: database,
        }
    }

    async fn engine(&self) -> Kept {
        let memory = Arc::new(Mutex::new(Memory::new()));
        let progress = Arc::<Progress>::default();
        let recovery = Recovery::new(self.pool.clone(), Arc::clone(&memory), progress);
        let source = Source::in_process("collector", self.log.clone());
        let consumer = Consumer::open(
            self.pool.clone(),
            ConsumerConfig::new(SERVICE),
            vec![source],
        );
        let timekeeper = Timekeeper::new(
            self.pool.clone(),
            Arc::clone(&memory),
            EngineHandler::new(Arc::clone(&memory), self.log.clone()),
            consumer.await.unwrap().status(),
        );
        recovery.approach().await.unwrap();
        Kept {
            timekeeper,
            memory,
            recovery,
        }
    }

    /// Deploys the pattern, and has its series be observed on a day.
    async fn begin(&self, kept: &Kept, day: NaiveDate) {
        let mut transaction = self.pool.begin().await.unwrap();
        let head = store::lock_head(&mut transaction).await.unwrap();
        let mut memory = kept.memory.lock().await;
        memory.agree(&mut transaction, head).await.unwrap();
        memory.changing();
        let put = Put {
            version: "1".to_owned(),
            file: "silent.toml".to_owned(),
            content: SILENT.to_owned(),
        };
        let definition = Definition::read(Kind::Pattern, &put).unwrap();
        let change = Change {
            kind: Kind::Pattern,
            id: "silent".to_owned(),
            put: Some(put),
            after_sequence: head.last_sequence,
        };
        store::insert_change(&mut transaction, &change, DefinitionChange::Deployed, "")
            .await
            .unwrap();
        memory.put(&mut transaction, &definition).await.unwrap();
        let known_from = day.and_time(NaiveTime::MIN).and_utc();
        let point = Point {
            cause: Cause {
                source: "collector".into(),
                position: 1,
                index: 0,
                event_id: Ulid::from_parts(1, 1),
                occurred_at: known_from,
            },
            series: "ALPHA".into(),
            date: day,
            known_from,
            value: Some(1.into()),
        };
        let points = [point];
        let stored = store::append_points(&mut transaction, head, &points).await;
        memory.engine.apply(&points, &mut Vec::new());
        memory.changed(stored.unwrap().unwrap());
        transaction.commit().await.unwrap();
    }

    /// The days that are recorded, in sequence.
    async fn days(&self) -> Vec<NaiveDate> {
        let days =
            sqlx::query_scalar("select date from points where series_id = '' order by sequence");
        days.fetch_all(&self.pool).await.unwrap()
    }

    /// Date, direction and cause of everything that is emitted.
    async fn emitted(&self) -> Vec<String> {
        let emitted = sqlx::query_scalar(
            "select concat_ws(' ', payload->>'observationDate', payload->>'direction',
                              coalesce(payload->>'causeEventId', '-'), occurred_at at time zone 'utc')
             from events order by position",
        );
        emitted.fetch_all(&self.pool).await.unwrap()
    }
}

fn today() -> NaiveDate {
    Utc::now().date_naive()
}

fn entered(day: NaiveDate) -> String {
    let end = end_of(day).format("%Y-%m-%d %H:%M:%S");
    format!("{day} CROSSING_DIRECTION_ENTERED - {end}")
}

#[tokio::test]
async fn two_engines_record_each_day_once() {
    let bench = Bench::create().await;
    let (mut one, mut other) = (bench.engine().await, bench.engine().await);
    let first = today() - Days::new(20);
    bench.begin(&one, first).await;
    for (passed, day) in (1..).zip(first.iter_days().take(6)) {
        let moment = end_of(day);
        let (by_one, by_other) = tokio::join!(one.pass_to(moment), other.pass_to(moment));
        assert_eq!(by_one + by_other, 1, "{day}");
        assert_eq!(bench.days().await.len(), passed);
    }
    let days: Vec<_> = first.iter_days().take(6).collect();
    assert_eq!(bench.days().await, days);
    assert_eq!(bench.emitted().await, [entered(first + Days::new(2))]);
    let facts = one.facts().await;
    assert_eq!(other.facts().await, facts);
    let written = write_snapshot(&bench.pool, &one.memory).await.unwrap();
    assert_eq!(written, Written::Stored);
    let restarted = bench.engine().await;
    assert_eq!(restarted.facts().await, facts, "of the snapshot");
    sqlx::query("delete from snapshots")
        .execute(&bench.pool)
        .await
        .unwrap();
    let replayed = bench.engine().await;
    assert_eq!(replayed.facts().await, facts, "of the sequence");
}

#[tokio::test]
async fn missed_days_are_made_up_for_in_order_and_none_is_recorded_twice() {
    let bench = Bench::create().await;
    let mut kept = bench.engine().await;
    let first = today() - Days::new(20);
    // Nothing is evaluated daily yet.
    assert_eq!(kept.pass_to(end_of(first)).await, 0);
    bench.begin(&kept, first).await;
    assert_eq!(kept.pass_to(end_of(first)).await, 1);
    let mut restarted = bench.engine().await;
    let later = first + Days::new(7);
    assert_eq!(restarted.pass_to(end_of(later)).await, 7);
    let days: Vec<_> = first.iter_days().take(8).collect();
    assert_eq!(bench.days().await, days);
    assert_eq!(bench.emitted().await, [entered(first + Days::new(2))]);
    // A clock that went back, and one that stands.
    assert_eq!(kept.pass_to(end_of(first + Days::new(3))).await, 0);
    assert_eq!(kept.pass_to(end_of(later)).await, 0);
    assert_eq!(bench.days().await, days);
}

#[tokio::test]
async fn a_day_that_was_not_committed_is_recorded_again_and_emits_the_same() {
    let bench = Bench::create().await;
    let mut kept = bench.engine().await;
    let first = today() - Days::new(20);
    bench.begin(&kept, first).await;
    assert_eq!(kept.pass_to(end_of(first)).await, 1);
    let before = kept.facts().await;
    // What is emitted cannot be stored.
    sqlx::raw_sql("alter table events rename to away")
        .execute(&bench.pool)
        .await
        .unwrap();
    let moment = end_of(first + Days::new(2));
    assert!(kept.timekeeper.pass_to(moment).await.is_err());
    sqlx::raw_sql("alter table away rename to events")
        .execute(&bench.pool)
        .await
        .unwrap();
    // The next look finds what was undone.
    assert_eq!(kept.pass_to(end_of(first)).await, 0);
    assert_eq!(kept.facts().await, before);
    assert!(bench.emitted().await.is_empty());
    assert_eq!(kept.pass_to(moment).await, 2);
    assert_eq!(bench.emitted().await, [entered(first + Days::new(2))]);
    assert_eq!(bench.engine().await.facts().await, kept.facts().await);
}

#[tokio::test]
async fn time_stands_still_before_the_sources_are_read() {
    let bench = Bench::create().await;
    let kept = bench.engine().await;
    assert_eq!(kept.timekeeper.moment(), None);
}
