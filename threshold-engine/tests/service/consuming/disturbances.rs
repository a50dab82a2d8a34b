//! After any fault an engine emits what an undisturbed one emits: the same events, in the same
//! order, at the same positions.

use std::time::Duration;

use consumer::Source;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::Connection;
use test_support::eventually;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep_until},
};

use crate::{
    bed::{Bed, DEADLINE, Form, SOURCE, position},
    process::life::{Life, Mortal},
    scenario::{Folder, Script},
};

pub(crate) const DISTURBED: &str = "disturbed";
const UNDISTURBED: &str = "undisturbed";
const KILLS: usize = 60;
/// Appends spread over each life, so that some are under way when it ends. Few: what was emitted is
/// played again at every start.
const APPENDS_PER_LIFE: f64 = 10.0;
const EVENTS_PER_APPEND: usize = 6;

/// Runs an engine without disturbance over the whole log, and compares.
pub(crate) async fn check_same(bed: &Bed) {
    let life = Life::start(bed.config(UNDISTURBED), bed.source(Form::Grpc)).await;
    let pool = bed.pool(UNDISTURBED).await;
    bed.caught_up(&pool).await;
    life.stop().await;
    let expected = bed.emissions(UNDISTURBED).await;
    assert!(expected.len() > 100, "{}", expected.len());
    let emissions = bed.emissions(DISTURBED).await;
    for (emissions, expected) in emissions.iter().zip(&expected) {
        assert_eq!(emissions, expected);
    }
    assert_eq!(emissions.len(), expected.len());
    let edits = bed.edits(UNDISTURBED).await;
    assert!(!edits.is_empty(), "they were deployed");
    assert_eq!(bed.edits(DISTURBED).await, edits);
}

async fn an_engine_killed_at_random_points(start: fn(&Bed, &str) -> Mortal, seed: u64) {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(seed);
    let mut random = StdRng::seed_from_u64(seed);
    let pool = bed.pool(DISTURBED).await;
    let mut kills_at_work = 0;
    // A start takes a while; after it, kills are to fall into transactions.
    let mut life_milliseconds = 100.0;
    for _ in 0..KILLS {
        let before = position(&pool).await;
        let life = start(&bed, DISTURBED);
        let end = random.random_range(0.5..1.5) * life_milliseconds;
        let deadline = Instant::now() + Duration::from_secs_f64(end / 1e3);
        while Instant::now() < deadline {
            let drafts = script.drafts(random.random_range(1..EVENTS_PER_APPEND));
            bed.log.append(drafts).await.unwrap();
            let pause = random.random_range(0.0..2.0) * end / APPENDS_PER_LIFE;
            let until = Instant::now() + Duration::from_secs_f64(pause / 1e3);
            sleep_until(until.min(deadline)).await;
        }
        tokio::task::spawn_blocking(move || life.kill())
            .await
            .unwrap();
        let advanced = position(&pool).await != before;
        kills_at_work += usize::from(advanced);
        // So that about half of the lives get to work before they end.
        life_milliseconds *= if advanced { 0.85 } else { 1.2 };
    }
    assert!(
        kills_at_work > KILLS / 5,
        "{kills_at_work} of {KILLS} kills came after a commit"
    );
    let life = start(&bed, DISTURBED);
    bed.caught_up(&pool).await;
    tokio::task::spawn_blocking(move || life.kill())
        .await
        .unwrap();
    check_same(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_killed_at_random_points_emits_the_same() {
    an_engine_killed_at_random_points(Mortal::process, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_killed_within_the_process_of_its_source_emits_the_same() {
    an_engine_killed_at_random_points(Mortal::in_process, 12).await;
}

/// Cuts every connection of an engine.
async fn cut(bed: &Bed) {
    let mut connection = bed.database.connection().await;
    sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = $1 and datname = current_database()",
    )
    .bind(format!("atlas {DISTURBED}"))
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
}

async fn an_engine_whose_database_is_cut_off_emits_the_same(form: Form) {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(21);
    let mut random = StdRng::seed_from_u64(21);
    let life = Life::start(bed.config(DISTURBED), bed.source(form)).await;
    let pool = bed.pool(DISTURBED).await;
    for _ in 0..60 {
        let drafts = script.drafts(random.random_range(1..60));
        bed.log.append(drafts).await.unwrap();
        // Anywhere between what is processed and what there is.
        let last = bed.log.head().await.unwrap().last_position.cast_signed();
        let done = position(&pool).await.unwrap_or(0);
        let wanted = random.random_range(done..=last);
        let is_there = async || position(&pool).await.unwrap_or(0) >= wanted;
        eventually(DEADLINE, is_there).await;
        cut(&bed).await;
    }
    bed.caught_up(&pool).await;
    life.stop().await;
    check_same(&bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_whose_database_is_cut_off_emits_the_same_over_grpc() {
    an_engine_whose_database_is_cut_off_emits_the_same(Form::Grpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_whose_database_is_cut_off_emits_the_same_in_process() {
    an_engine_whose_database_is_cut_off_emits_the_same(Form::InProcess).await;
}

/// Two engines over one database share the work, and emit everything once.
#[tokio::test(flavor = "multi_thread")]
async fn two_engines_of_one_database_emit_the_same() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(31);
    let one = Life::start(bed.config(DISTURBED), bed.source(Form::Grpc)).await;
    let other = Life::start(bed.config(DISTURBED), bed.source(Form::InProcess)).await;
    for _ in 0..40 {
        bed.log.append(script.drafts(25)).await.unwrap();
    }
    let pool = bed.pool(DISTURBED).await;
    bed.caught_up(&pool).await;
    one.stop().await;
    other.stop().await;
    check_same(&bed).await;
}

/// Whoever asks an engine that does nothing, because another one is always first, is emitted about now.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_never_first_knows_what_the_other_did() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(51);
    let working = Life::start(bed.config(DISTURBED), bed.source(Form::Grpc)).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let silent = Source::grpc(SOURCE, &format!("http://{address}")).unwrap();
    let idle = Life::start(bed.config(DISTURBED), silent).await;
    let pool = bed.pool(DISTURBED).await;
    let mut spells = 0;
    for _ in 0..3 {
        bed.log.append(script.drafts(300)).await.unwrap();
        bed.caught_up(&pool).await;
        let emissions = working.get("/v1/patterns/alpha-high").await;
        let now = emissions["spells"].as_array().unwrap().len();
        assert!(now > spells, "{emissions}");
        spells = now;
        eventually(DEADLINE, async || {
            idle.get("/v1/patterns/alpha-high").await == emissions
        })
        .await;
    }
    working.stop().await;
    idle.stop().await;
}

/// A checkpoint that is set back, as the runbook does it, has no second effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_has_no_second_effect() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(41);
    bed.log.append(script.drafts(800)).await.unwrap();
    let life = Life::start(bed.config(DISTURBED), bed.source(Form::InProcess)).await;
    let pool = bed.pool(DISTURBED).await;
    bed.caught_up(&pool).await;
    let emissions = bed.emissions(DISTURBED).await;
    let points = count_points(&pool).await;
    for _ in 0..3 {
        sqlx::query(
            "UPDATE checkpoint SET last_processed = '2020-01-01 00:00:00'::timestamptz
             WHERE service = 'ThresholdEngine'",
        )
        .execute(&pool)
        .await
        .unwrap();
        eventually(DEADLINE, async || position(&pool).await.is_some()).await;
        bed.caught_up(&pool).await;
        assert_eq!(bed.emissions(DISTURBED).await, emissions);
        assert_eq!(count_points(&pool).await, points);
    }
    bed.log.append(script.drafts(200)).await.unwrap();
    bed.caught_up(&pool).await;
    life.stop().await;
    check_same(&bed).await;
}

async fn count_points(pool: &sqlx::PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from points")
        .fetch_one(pool)
        .await
        .unwrap()
}
