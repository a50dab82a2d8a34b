//! Promise 6, exactly-once effects: a consumer's effects, its checkpoint and its record of processed
//! events commit together. Whatever is killed or lost, each event has its effect once, in order.

use std::{sync::atomic::Ordering, time::Duration};

use consumer::{Consumer, Reset, Source};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::Connection;
use test_support::{drafts, eventually};

use crate::support::{
    common::{Bench, DEADLINE, Form, Run, ServedLog, all, append, config},
    handler::{Fault, Faults},
    proxy::Proxy,
};

/// Both forms of a source keep a promise.
macro_rules! in_both_forms {
    ($($name:ident),* $(,)?) => {
        mod over_grpc {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(super::Form::Grpc).await; })*
        }
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::$name(super::Form::InProcess).await; })*
        }
    };
}
pub(crate) use in_both_forms;

in_both_forms!(
    every_event_has_its_effect_once_and_in_order,
    a_consumer_killed_again_and_again_has_each_effect_once,
    sessions_terminated_at_any_moment_lose_and_double_nothing,
    a_commit_of_unknown_outcome_is_neither_lost_nor_doubled,
    a_database_that_is_away_is_waited_for,
    a_replay_has_no_second_effect,
    a_transaction_that_the_handler_broke_is_not_taken_for_committed,
);

async fn every_event_has_its_effect_once_and_in_order(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..500).await;
    let faults = Faults::none();
    let run = bench.run(&faults).await;
    bench.until_effects(500).await;
    bench.served.append(500..1_000).await;
    bench.until_effects(1_000).await;
    bench.until_position(1_000).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(1_000));
    assert_eq!(faults.resets.load(Ordering::Relaxed), 1);
    assert!(faults.batches.load(Ordering::Relaxed) < 500);
}

/// Counts after how many of the disturbances there were more effects than before.
struct Progress {
    random: StdRng,
    seen: usize,
    progressed: u32,
}

impl Progress {
    fn new() -> Self {
        Self {
            random: StdRng::seed_from_u64(6),
            seen: 0,
            progressed: 0,
        }
    }

    /// Waits before a disturbance until a random number of effects came about, none in half of the
    /// cases: of `events` at the most, those that were published by then.
    async fn wait(&mut self, bench: &Bench, events: u64) {
        let left = (events as usize).saturating_sub(self.seen);
        if left > 0 && self.random.random() {
            let more = self.random.random_range(1..=left);
            bench.until_effects(self.seen + more).await;
        }
    }

    /// Takes note of how many effects there are after a disturbance.
    fn note(&mut self, effects: usize) {
        self.progressed += u32::from(effects > self.seen);
        self.seen = effects;
    }
}

async fn a_consumer_killed_again_and_again_has_each_effect_once(form: Form) {
    // In both forms together as many again as the engine's own tests make.
    const KILLS: u64 = 100;
    const EVENTS_PER_KILL: u64 = 6;
    let bench = Bench::create(form).await;
    let faults = Faults::none();
    let mut sql = bench.sql().await;
    let mut progress = Progress::new();
    for kill in 0..KILLS {
        let run = bench.run(&faults).await;
        let log = bench.served.log.clone();
        let first = kill * EVENTS_PER_KILL;
        let publishing = tokio::spawn(async move {
            append(&log, drafts(first..first + EVENTS_PER_KILL)).await;
        });
        progress.wait(&bench, first + EVENTS_PER_KILL).await;
        run.kill().await;
        publishing.await.unwrap();
        progress.note(count_effects(&mut sql).await);
    }
    assert!(progress.progressed > 20, "{}", progress.progressed);
    let run = bench.run(&faults).await;
    bench.until_position(KILLS * EVENTS_PER_KILL).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(KILLS * EVENTS_PER_KILL));
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

async fn sessions_terminated_at_any_moment_lose_and_double_nothing(form: Form) {
    const TERMINATIONS: u64 = 100;
    const EVENTS_EACH: u64 = 30;
    const EVENTS: u64 = TERMINATIONS * EVENTS_EACH;
    let bench = Bench::create(form).await;
    let faults = Faults::none();
    let run = bench.run(&faults).await;
    let mut terminator = bench.sql().await;
    let mut progress = Progress::new();
    for round in 0..TERMINATIONS {
        bench
            .served
            .append(round * EVENTS_EACH..(round + 1) * EVENTS_EACH)
            .await;
        progress.wait(&bench, (round + 1) * EVENTS_EACH).await;
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and application_name = 'atlas effects'",
        )
        .execute(&mut terminator)
        .await
        .unwrap();
        progress.note(count_effects(&mut terminator).await);
    }
    assert!(progress.progressed > 10, "{}", progress.progressed);
    bench.until_position(EVENTS).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(EVENTS));
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

async fn count_effects(connection: &mut sqlx::PgConnection) -> usize {
    let count: i64 = sqlx::query_scalar("select count(*) from effects")
        .fetch_one(connection)
        .await
        .unwrap();
    count.unsigned_abs() as usize
}

async fn a_commit_of_unknown_outcome_is_neither_lost_nor_doubled(form: Form) {
    const EVENTS: u64 = 3_000;
    let bench = Bench::create(form).await;
    bench.served.append(0..EVENTS).await;
    let proxy = Proxy::of_database(&bench.database.url()).await;
    let pool = bench
        .pool_through(&proxy.database_url(&bench.database.url()))
        .await;
    let consumer = Consumer::open(pool, config(), vec![bench.source()])
        .await
        .unwrap();
    proxy.lose_commits(4);
    let faults = Faults::none();
    let run = Run::start(consumer, &faults);
    bench.until_effects(EVENTS as usize).await;
    proxy.lose_commits(0);
    bench.until_position(EVENTS).await;
    run.stop().await;
    let (before, after) = proxy.lost();
    assert!(before > 3 && after > 3, "{before} {after}");
    assert_eq!(bench.effects().await, all(EVENTS));
    // Of those whose answers were lost nobody knows for sure.
    assert!(faults.reported.load(Ordering::Relaxed) < EVENTS);
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

async fn a_database_that_is_away_is_waited_for(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..300).await;
    let proxy = Proxy::of_database(&bench.database.url()).await;
    let pool = bench
        .pool_through(&proxy.database_url(&bench.database.url()))
        .await;
    let consumer = Consumer::open(pool, config(), vec![bench.source()])
        .await
        .unwrap();
    let faults = Faults::none();
    let run = Run::start(consumer, &faults);
    bench.until_effects(40).await;
    proxy.cut();
    let effects_before = bench.effects().await.len();
    bench.served.append(300..600).await;
    // The lag of an idle stream is zero: it is reported once the source was heard again.
    eventually(DEADLINE, async || {
        let lag = run.status.sources().remove(0);
        lag.head_position == Some(600) && lag.lag_events.is_some_and(|events| events > 0)
    })
    .await;
    // At most the transaction that was committing when the line was cut.
    assert!(bench.effects().await.len() <= effects_before + 40);
    proxy.mend();
    bench.until_position(600).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(600));
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

async fn a_replay_has_no_second_effect(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..500).await;
    let faults = Faults::at(&[(77, Fault::Permanent)]);
    let run = bench.run(&faults).await;
    bench.until_position(500).await;
    let batches = faults.batches.load(Ordering::Relaxed);
    for reset in [Reset::Beginning, Reset::Position(250)] {
        run.admin.reset(None, reset).await.unwrap();
        bench.until_position(500).await;
    }
    assert_eq!(faults.batches.load(Ordering::Relaxed), batches);
    run.admin
        .reset(Some("collector"), Reset::Position(499))
        .await
        .unwrap();
    bench.served.append(500..510).await;
    bench.until_position(510).await;
    run.stop().await;
    let expected: Vec<u64> = all(510).into_iter().filter(|n| *n != 77).collect();
    assert_eq!(bench.effects().await, expected);
    let parked = bench
        .admin()
        .parked(&Default::default(), 0, 10)
        .await
        .unwrap();
    assert_eq!(parked.events.len(), 1);
}

async fn a_transaction_that_the_handler_broke_is_not_taken_for_committed(form: Form) {
    let bench = Bench::create(form).await;
    bench.served.append(0..100).await;
    let faults = Faults::at(&[(30, Fault::Silent)]);
    let run = bench.run(&faults).await;
    bench.until_position(100).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(100));
    assert_eq!(faults.reported.load(Ordering::Relaxed), 100);
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}

/// Positions of one source, in the order of their effects.
pub(crate) async fn effects_of(bench: &Bench, source: &str) -> Vec<u64> {
    let positions: Vec<i64> =
        sqlx::query_scalar("select position from effects where source = $1 order by sequence")
            .bind(source)
            .fetch_all(&bench.pool)
            .await
            .unwrap();
    positions.into_iter().map(i64::unsigned_abs).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_sources_have_checkpoints_of_their_own() {
    let bench = Bench::create(Form::InProcess).await;
    let other = ServedLog::start(&bench.database, "other").await;
    bench.served.append(0..700).await;
    other.append(0..300).await;
    let sources = || -> Vec<Source> {
        vec![
            bench.served.source("here", Form::InProcess),
            other.source("there", Form::Grpc),
        ]
    };
    let faults = Faults::none();
    let mut progress = Progress::new();
    let mut sql = bench.sql().await;
    for _ in 0..20 {
        let run = Run::start(bench.open(sources()).await.unwrap(), &faults);
        // A run that is not killed too early takes 50 effects at the least.
        let some = (progress.seen as u64 + 50).min(1_000);
        progress.wait(&bench, some).await;
        run.kill().await;
        progress.note(count_effects(&mut sql).await);
    }
    let run = Run::start(bench.open(sources()).await.unwrap(), &faults);
    bench.until_effects(1_000).await;
    other.append(300..310).await;
    bench.until_effects(1_010).await;
    bench.until_position(310).await;
    run.stop().await;
    assert_eq!(effects_of(&bench, "here").await, all(700));
    assert_eq!(effects_of(&bench, "there").await, all(310));
    let checkpoints = bench.admin().checkpoints().await.unwrap();
    let ends: Vec<_> = checkpoints
        .iter()
        .map(|found| (found.source.as_str(), found.position, found.log_id))
        .collect();
    let expected = [
        ("here", Some(700), Some(bench.served.log.log_id())),
        ("there", Some(310), Some(other.log.log_id())),
    ];
    assert_eq!(ends, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_forgotten_only_when_no_replay_can_reach_their_events() {
    let bench = Bench::create(Form::InProcess).await;
    bench.served.append(0..100).await;
    let mut config = config();
    config.processed_keep = Duration::ZERO;
    config.prune_interval = Duration::from_millis(10);
    let consumer = Consumer::open(bench.pool.clone(), config, vec![bench.source()])
        .await
        .unwrap();
    let run = Run::start(consumer, &Faults::none());
    bench.until_position(100).await;
    let mut sql = bench.sql().await;
    // As retention does once it has removed the first events.
    sqlx::raw_sql("update collected.log_head set first_position = 41")
        .execute(&mut sql)
        .await
        .unwrap();
    let kept = async |sql: &mut sqlx::PgConnection| -> Vec<i64> {
        sqlx::query_scalar("select position from processed_events order by position")
            .fetch_all(sql)
            .await
            .unwrap()
    };
    eventually(DEADLINE, async || kept(&mut sql).await.first() == Some(&41)).await;
    assert_eq!(kept(&mut sql).await, (41..=100).collect::<Vec<i64>>());
    run.stop().await;
    sql.close().await.unwrap();
}
