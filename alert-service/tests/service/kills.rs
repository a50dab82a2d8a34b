//! Services that are killed at random while crossings arrive and the receiver flaps.

use std::{
    future::pending,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use chrono::TimeDelta;
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use test_support::eventually;
use tokio::time::timeout;

use crate::{
    bed::{Bed, DEADLINE, entered},
    receiver::Receiver,
    teams::{every_delivery_arrived, make_teams, publish},
};

const KILLS: usize = 240;
/// Instances at a time.
const LANES: u64 = 4;
/// After so many kills the clock is moved so far that leases of what was killed, and of what lives, are over.
const KILLS_OF_A_LEASE: usize = 24;
/// Of each team, while an instance lives.
const CROSSINGS_MAX: usize = 4;
const SEED: u64 = 16;

/// Four instances at a time, each of which is dropped at a point of its work, or of its start, that chance decides.
/// Nothing of what it was doing goes on, as with a process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_arrives_on_its_own_channel_with_one_id() {
    println!("seed {SEED}");
    let settings = [
        "database.connections_max=4",
        "deliveries.retry_base_milliseconds=20",
        "deliveries.retry_max_seconds=1",
        "deliveries.pause_max_seconds=1",
    ];
    let bed = Bed::create(&settings).await;
    // Away for a while, again and again; and now and then in between.
    let receiver = Receiver::start(|number| match (number / 50 % 4, number % 5) {
        (0, _) | (_, 0) => 503,
        _ => 200,
    })
    .await;
    let setting = make_teams(&bed, &receiver).await;
    let (kills, published) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let lane = async |number: u64| {
        let mut random = StdRng::seed_from_u64(SEED + number);
        loop {
            let killed = kills.fetch_add(1, Ordering::Relaxed);
            if killed >= KILLS {
                break;
            }
            if killed % KILLS_OF_A_LEASE == 0 {
                bed.move_clock(TimeDelta::seconds(30));
            }
            let lives = match random.random_range(0..4) {
                0 => random.random_range(0..60),
                _ => random.random_range(60..400),
            };
            let living = async {
                let service = bed.start_with(std::slice::from_ref(&setting)).await;
                for _ in 0..CROSSINGS_MAX {
                    // Whether or not this is cut off: no two crossings are of one pattern.
                    publish(&bed, published.fetch_add(1, Ordering::Relaxed)).await;
                }
                pending::<()>().await;
                drop(service);
            };
            // With this the service is dropped, and so killed.
            let _ = timeout(Duration::from_millis(lives), living).await;
        }
    };
    join_all((0..LANES).map(lane)).await;
    bed.move_clock(TimeDelta::seconds(30));
    let service = bed.start_with(std::slice::from_ref(&setting)).await;
    bed.processed().await;
    every_delivery_arrived(&bed, &receiver).await;
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_instance_was_sending_is_sent_within_thirty_seconds() {
    let bed = Bed::create(&[]).await;
    let receiver = Receiver::start(|_| 200).await;
    let service = bed.start().await;
    let channel = service.webhook(&receiver.url("a")).await;
    service.rule(&channel, json!({})).await;
    service.end().await;
    bed.publish(entered("p")).await;
    let service = bed.start().await;
    bed.processed().await;
    eventually(DEADLINE, async || receiver.accepted().len() == 1).await;
    service.end().await;
    // An instance that claims and ends leaves its claim, and nothing else.
    let pool = bed.pool().await;
    let claimed = "update deliveries set state = 'sending', claim = claim + 1, finished_at = null, receipt = null,
                       lease_until = now() + interval '26 seconds'";
    sqlx::query(claimed).execute(&pool).await.unwrap();
    bed.move_clock(TimeDelta::seconds(27));
    let service = bed.start().await;
    eventually(DEADLINE, async || receiver.accepted().len() == 2).await;
    let received = receiver.accepted();
    assert_eq!(received[0].id, received[1].id);
    service.end().await;
}
