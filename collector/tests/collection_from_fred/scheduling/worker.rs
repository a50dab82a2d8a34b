//! Workers collect what is due, share the work, and take over what others left.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use collector::collection::{CollectionWorker, WorkerConfig};
use fred_stand_in::{Fault, Release, StandIn};
use test_support::eventually;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, Process, all_of, day, own_series, quick};

const DEADLINE: Duration = Duration::from_secs(20);

fn start(process: &Process, lease: Duration) -> (CancellationToken, JoinHandle<()>) {
    let config = WorkerConfig {
        poll_interval: Duration::from_millis(20),
        lease,
        ..WorkerConfig::default()
    };
    let stop = CancellationToken::new();
    let worker = CollectionWorker::new(process.registry.clone(), config);
    (stop.clone(), tokio::spawn(worker.run(stop)))
}

async fn is_collected(process: &Process, series_id: &str) -> bool {
    let series = process.registry.get(series_id).await.unwrap();
    series.last_success_at.is_some()
}

async fn claims(process: &Process) -> i64 {
    sqlx::query_scalar("select count(claimed_by) from series")
        .fetch_one(&process.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn every_due_series_is_collected_and_again_when_its_schedule_says() {
    let value = day("2020-01-01");
    let series = own_series().with_value(value, day("2020-02-01"), "1");
    let builder = StandIn::builder().series(["UNRATE", "M1SL"]);
    let bed = Bed::new(builder.add_series(series.unwrap())).await;
    let process = bed.process().await;
    let (stop, worker) = start(&process, Duration::from_secs(60));
    process.seed(&["UNRATE", "M1SL", "OWN"]).await;
    eventually(DEADLINE, async || {
        let series = process.registry.list().await.unwrap();
        series.iter().all(|series| series.last_success_at.is_some())
    })
    .await;

    let release = Release::new(value, "2").known_since(day("2020-03-01"));
    bed.fred.release("OWN", release).unwrap();
    let events = process.events().await.len();
    let asked = bed.fred.requests().len();
    bed.clock.advance(TimeDelta::days(1));
    eventually(DEADLINE, async || {
        process.events().await.len() > events && bed.fred.requests().len() >= asked + 3
    })
    .await;
    assert_eq!(process.events().await.len(), events + 1);
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn a_paused_series_is_left_alone_until_it_is_resumed() {
    let bed = Bed::new(StandIn::builder().series(["UNRATE", "M1SL"])).await;
    let process = bed.process().await;
    process.seed(&["UNRATE", "M1SL"]).await;
    process.registry.pause("UNRATE").await.unwrap();
    let (stop, worker) = start(&process, Duration::from_secs(60));
    eventually(DEADLINE, async || is_collected(&process, "M1SL").await).await;
    assert!(!is_collected(&process, "UNRATE").await);
    process.registry.resume("UNRATE").await.unwrap();
    eventually(DEADLINE, async || is_collected(&process, "UNRATE").await).await;
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn a_series_that_hangs_does_not_hold_up_the_others() {
    let bed = Bed::new(StandIn::builder().series(["UNRATE", "M1SL", "PCE"])).await;
    let process = bed.process().await;
    let hang = Fault::Hang { millis: 60_000 };
    bed.fred.fail_next_of("M1SL", 100, hang);
    process.seed(&["M1SL"]).await;
    process.seed(&["PCE", "UNRATE"]).await;
    let (stop, worker) = start(&process, Duration::from_secs(60));
    let began = Instant::now();
    eventually(DEADLINE, async || {
        is_collected(&process, "UNRATE").await && is_collected(&process, "PCE").await
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(5));

    stop.cancel();
    worker.await.unwrap();
    assert_eq!(claims(&process).await, 0, "what was under way is given up");
}

#[tokio::test]
async fn what_a_dead_worker_had_claimed_is_taken_over_once_its_lease_expires() {
    let bed = Bed::new(StandIn::builder().series(["UNRATE"])).await;
    let process = bed.process().await;
    process.seed(&["UNRATE"]).await;
    bed.fred.fail_next(1, Fault::Hang { millis: 60_000 });
    let (_stop, dead) = start(&process, Duration::from_secs(1));
    eventually(DEADLINE, async || claims(&process).await == 1).await;
    dead.abort();
    assert!(dead.await.unwrap_err().is_cancelled());

    let other = bed.process().await;
    let (stop, worker) = start(&other, Duration::from_secs(60));
    eventually(DEADLINE, async || is_collected(&other, "UNRATE").await).await;
    stop.cancel();
    worker.await.unwrap();
}

async fn claimed_until(process: &Process) -> Option<DateTime<Utc>> {
    sqlx::query_scalar("select claimed_until from series where claimed_by is not null")
        .fetch_optional(&process.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_claim_is_renewed_for_as_long_as_the_collection_lasts() {
    let bed = Bed::new(StandIn::builder().series(["UNRATE"])).await;
    let process = bed.process().await;
    bed.fred.fail_next(1, Fault::Hang { millis: 60_000 });
    process.seed(&["UNRATE"]).await;
    let (stop, worker) = start(&process, Duration::from_millis(900));
    let mut claims = BTreeSet::new();
    eventually(DEADLINE, async || {
        claims.extend(claimed_until(&process).await);
        claims.len() > 3
    })
    .await;
    stop.cancel();
    worker.await.unwrap();
    let asked = bed.fred.requests().len();
    assert_eq!(asked, 1, "it was one collection all the time");
}

#[tokio::test]
async fn a_source_that_is_out_of_order_is_not_asked_by_every_series_in_turn() {
    let bed = Bed::new(StandIn::builder().series(["UNRATE", "M1SL", "PCE", "GDPC1"])).await;
    let mut config = quick(&bed.fred);
    config.attempts_max = 1;
    config.circuit_failures_max = 1;
    config.circuit_cool_down = Duration::from_secs(3_600);
    let process = bed.process_with(config).await;
    bed.fred.fail_next(1_000, Fault::Unavailable);
    process.seed(&["UNRATE"]).await;
    let (stop, worker) = start(&process, Duration::from_secs(60));
    eventually(DEADLINE, async || process.failures().await.len() == 1).await;
    process
        .registry
        .seed(&["M1SL", "PCE", "GDPC1"].map(all_of))
        .await
        .unwrap();

    // At the end of the cool-down one series probes, and finds the source still out of order.
    bed.clock.advance(TimeDelta::hours(2));
    eventually(DEADLINE, async || process.failures().await.len() == 2).await;
    bed.fred.clear_faults();
    bed.clock.advance(TimeDelta::hours(2));
    eventually(DEADLINE, async || {
        let series = process.registry.list().await.unwrap();
        series.iter().all(|series| series.last_success_at.is_some())
    })
    .await;
    assert_eq!(process.failures().await.len(), 2);
    stop.cancel();
    worker.await.unwrap();
}
