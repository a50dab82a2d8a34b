//! A network that swallows what is sent to the database and closes nothing: the consumer goes on with
//! other connections, and each effect is there once.

use std::{sync::Arc, time::Duration};

use consumer::Consumer;
use test_support::Link;

use crate::support::{
    common::{Bench, Form, Run, all, config},
    handler::{Faults, Gate},
};

/// Where the connections fall silent.
#[derive(Debug, Clone, Copy)]
enum Moment {
    BetweenBatches,
    InTheReset,
    AtTheCommit,
}

async fn connections_fall_silent(moment: Moment) {
    let bench = Bench::create(Form::InProcess).await;
    let link = Link::to(&bench.database.url()).await;
    let pool = bench.pool_through(&link.url(&bench.database.url())).await;
    let mut config = config();
    config.database_answer_max = Duration::from_secs(1);
    let faults = Faults::none();
    let gate = match moment {
        Moment::InTheReset => Some(Gate::put(&faults.reset_gate)),
        _ => None,
    };
    let consumer = Consumer::open(pool, config, vec![bench.source()]).await;
    let run = Run::start(consumer.unwrap(), &faults);
    if let Some(gate) = gate {
        fall_silent(&link, &gate).await;
    }
    bench.served.append(0..10).await;
    bench.until_effects(10).await;
    match moment {
        Moment::BetweenBatches => link.forget_connections(),
        Moment::AtTheCommit => {
            let gate = Gate::put(&faults.batch_gate);
            bench.served.append(10..20).await;
            fall_silent(&link, &gate).await;
        }
        Moment::InTheReset => {}
    }
    bench.served.append(20..30).await;
    let events = if matches!(moment, Moment::AtTheCommit) {
        30
    } else {
        20
    };
    bench.until_effects(events).await;
    bench.until_position(events as u64).await;
    run.stop().await;
    assert_eq!(bench.effects().await, all(events as u64));
}

async fn fall_silent(link: &Link, gate: &Arc<Gate>) {
    gate.until_reached().await;
    link.forget_connections();
    gate.open();
}

#[tokio::test]
async fn connections_that_fall_silent_between_batches_are_given_up() {
    connections_fall_silent(Moment::BetweenBatches).await;
}

#[tokio::test]
async fn connections_that_fall_silent_in_a_reset_are_given_up() {
    connections_fall_silent(Moment::InTheReset).await;
}

#[tokio::test]
async fn connections_that_fall_silent_at_a_commit_are_given_up() {
    connections_fall_silent(Moment::AtTheCommit).await;
}
