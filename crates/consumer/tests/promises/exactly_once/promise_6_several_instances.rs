//! Promise 6 where several instances of a service run at once: what one of them has done, the memory
//! of the others has to know before they do anything.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use consumer::{Consumer, ConsumerConfig, ParkedFilter, Source};
use test_support::eventually;
use tokio::net::TcpListener;

use crate::exactly_once::promise_6_exactly_once::{effects_of, in_both_forms};
use crate::support::{
    common::{Bench, DEADLINE, Form, Run, ServedLog, all, config},
    handler::{Fault, Faults, Gate},
};

in_both_forms!(
    several_instances_share_the_work,
    an_instance_starts_while_another_commits,
);

/// An instance that does not look around: it learns of others only by what it does itself.
fn inattentive() -> ConsumerConfig {
    ConsumerConfig {
        poll_interval: Duration::from_secs(3_600),
        ..config()
    }
}

async fn instance(
    bench: &Bench,
    config: ConsumerConfig,
    sources: Vec<Source>,
    faults: &Arc<Faults>,
) -> Run {
    let consumer = Consumer::open(bench.pool.clone(), config, sources).await;
    Run::start(consumer.unwrap(), faults)
}

/// A source of this name where nobody listens.
async fn silent(name: &str) -> Source {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    Source::grpc(name, &format!("http://{address}")).unwrap()
}

/// Two logs, and an instance of the service for each of them that hears nothing of the other's.
struct Apart {
    bench: Bench,
    other: ServedLog,
    /// Of the instance that hears `collector`.
    first: Arc<Faults>,
    /// Of the instance that hears `other`.
    second: Arc<Faults>,
    runs: [Run; 2],
}

impl Apart {
    /// Each instance has handled an event of its log, the second after the first.
    async fn start(first: Arc<Faults>) -> Self {
        let bench = Bench::create(Form::InProcess).await;
        let other = ServedLog::start(&bench.database, "other").await;
        let second = Faults::none();
        let hears_first = vec![bench.source(), silent("other").await];
        let hears_second = vec![
            silent("collector").await,
            other.source("other", Form::InProcess),
        ];
        let runs = [
            instance(&bench, config(), hears_first, &first).await,
            instance(&bench, inattentive(), hears_second, &second).await,
        ];
        bench.served.append(0..1).await;
        bench.until_position(1).await;
        other.append(0..1).await;
        bench.until_effects(2).await;
        Self {
            bench,
            other,
            first,
            second,
            runs,
        }
    }

    /// Ends both; nobody was mistaken.
    async fn end(self) -> Bench {
        for run in self.runs {
            run.stop().await;
        }
        assert!(!self.first.disagreed.load(Ordering::Relaxed));
        assert!(!self.second.disagreed.load(Ordering::Relaxed));
        self.bench
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_instance_does_in_another_source_is_known() {
    let apart = Apart::start(Faults::none()).await;
    apart.bench.served.append(1..11).await;
    apart.bench.until_position(11).await;
    apart.other.append(1..11).await;
    apart.bench.until_effects(22).await;
    let bench = apart.end().await;
    assert_eq!(effects_of(&bench, "collector").await, all(11));
    assert_eq!(effects_of(&bench, "other").await, all(11));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_instance_waits_while_another_handles_events_of_another_source() {
    let apart = Apart::start(Faults::none()).await;
    let gate = Gate::put(&apart.first.batch_gate);
    apart.bench.served.append(1..2).await;
    gate.until_reached().await;
    let batches = apart.second.batches.load(Ordering::Relaxed);
    apart.other.append(1..2).await;
    apart.bench.until_waiting(1).await;
    assert_eq!(apart.second.batches.load(Ordering::Relaxed), batches);
    gate.open();
    apart.bench.until_effects(4).await;
    apart.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_instance_retried_is_known() {
    let apart = Apart::start(Faults::at(&[(2, Fault::Permanent)])).await;
    apart.bench.served.append(1..2).await;
    apart.bench.until_position(2).await;
    // The second handles once more, so that it knows all there is before the retry.
    apart.other.append(1..2).await;
    apart.bench.until_effects(3).await;
    apart.first.mend();
    let (admin, parked) = (apart.bench.admin(), ParkedFilter::default());
    let retried = admin.retry(&parked, DEADLINE);
    assert_eq!(retried.await.unwrap().resolved, 1);
    apart.other.append(2..3).await;
    apart.bench.until_effects(5).await;
    apart.end().await;
}

async fn an_instance_starts_while_another_commits(form: Form) {
    let bench = Bench::create(form).await;
    let (early, late) = (Faults::none(), Faults::none());
    let first = bench.run(&early).await;
    bench.served.append(0..10).await;
    bench.until_position(10).await;
    let gate = Gate::put(&late.reset_gate);
    let second = bench.run(&late).await;
    gate.until_reached().await;
    bench.served.append(10..20).await;
    bench.until_position(20).await;
    first.stop().await;
    gate.open();
    bench.served.append(20..30).await;
    bench.until_position(30).await;
    second.stop().await;
    assert_eq!(bench.effects().await, all(30));
    assert!(late.batches.load(Ordering::Relaxed) > 0);
    assert!(!late.disagreed.load(Ordering::Relaxed));
}

async fn several_instances_share_the_work(form: Form) {
    const INSTANCES: usize = 3;
    const ROUNDS: u64 = 40;
    const EVENTS_EACH: u64 = 20;
    let bench = Bench::create(form).await;
    let other = ServedLog::start(&bench.database, "other").await;
    let faults = Faults::none();
    let start = async || {
        let sources = vec![bench.source(), other.source("other", form)];
        instance(&bench, config(), sources, &faults).await
    };
    let mut runs = Vec::new();
    for _ in 0..INSTANCES {
        runs.push(start().await);
    }
    for round in 0..ROUNDS {
        let numbers = round * EVENTS_EACH..(round + 1) * EVENTS_EACH;
        let killed = runs.remove(rand::random_range(0..INSTANCES));
        tokio::join!(
            bench.served.append(numbers.clone()),
            other.append(numbers),
            killed.kill()
        );
        runs.push(start().await);
    }
    let events = ROUNDS * EVENTS_EACH;
    bench.until_effects(2 * events as usize).await;
    eventually(DEADLINE, async || {
        let checkpoints = bench.admin().checkpoints().await.unwrap();
        let mut positions = checkpoints.iter().map(|found| found.position);
        positions.all(|position| position == Some(events))
    })
    .await;
    for run in runs {
        run.stop().await;
    }
    assert_eq!(effects_of(&bench, "collector").await, all(events));
    assert_eq!(effects_of(&bench, "other").await, all(events));
    assert!(!faults.disagreed.load(Ordering::Relaxed));
}
