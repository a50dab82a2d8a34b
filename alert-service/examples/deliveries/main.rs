//! How fast messages are sent, by the program as it is shipped, over a database and to a receiver on this machine.
//!
//! `cargo build --release -p alert-service`, then with `ATLAS_TEST_DATABASE_URL` the URL of `scripts/db up`:
//! `cargo run --release -p alert-service --example deliveries`.
//!
//! From the append of a crossing to the log of the engine until its message has arrived, at 100 alerts a second; the
//! rate at which 10,000 messages arrive that have waited for a receiver; and what channels that are away cost another.
#![expect(clippy::print_stdout, reason = "it prints figures")]

mod receiver;
mod trial;

use std::{collections::HashMap, time::Duration};

use anyhow::Result;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::{receiver::Arrival, trial::Trial};

/// Alerts a second.
const RATE: u32 = 100;
const ALERTS: usize = 2_000;
const PENDING: usize = 10_000;

#[tokio::main]
async fn main() -> Result<()> {
    // As the program does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    latency("one channel", &[]).await?;
    latency("beside one that refuses connections", &["refuses"]).await?;
    let hanging = ["hangs1", "hangs2", "hangs3", "hangs4", "hangs5"];
    latency("beside one that never answers", &hanging[..1]).await?;
    latency("beside five that never answer", &hanging).await?;
    drain().await
}

/// Publishes at a steady rate, and prints how long after their append messages arrived.
async fn latency(title: &str, others: &[&str]) -> Result<()> {
    let trial = Trial::start(&[]).await?;
    trial.channel("good").await?;
    for other in others {
        trial.channel(other).await?;
    }
    // What is made at the first use is made.
    trial.publish(["warm".to_owned()]).await?;
    trial.receiver.arrived("good", 1).await;
    let mut published = HashMap::new();
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..ALERTS {
        ticks.tick().await;
        let pattern = format!("p{number}");
        published.insert(pattern.clone(), Instant::now());
        trial.publish([pattern]).await?;
    }
    trial.receiver.arrived("good", ALERTS + 1).await;
    let arrivals = trial.receiver.of("good");
    let mut millis: Vec<_> = arrivals
        .iter()
        .filter_map(|arrival| Some((arrival, published.get(&arrival.title)?)))
        .map(|(arrival, published)| (arrival.at - *published).as_secs_f64() * 1e3)
        .collect();
    millis.sort_by(f64::total_cmp);
    let of = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
    println!(
        "{title}: {} alerts at {RATE}/s, arrived after p50 {:.1} ms, p99 {:.1} ms, at most {:.1} ms; {} attempts",
        millis.len(),
        of(0.5),
        of(0.99),
        of(1.0),
        arrivals.len(),
    );
    trial.end().await
}

/// Lets messages wait for a receiver that is away, and prints how fast they arrive once it is back.
async fn drain() -> Result<()> {
    let trial = Trial::start(&["deliveries.pause_max_seconds=1"]).await?;
    trial.receiver.go_away(true);
    trial.channel("good").await?;
    for first in (0..PENDING).step_by(500) {
        let patterns = (first..first + 500).map(|number| format!("p{number}"));
        trial.publish(patterns).await?;
    }
    trial.pending(PENDING).await?;
    trial.receiver.go_away(false);
    let back = Instant::now();
    trial.receiver.arrived("good", PENDING).await;
    let arrivals = trial.receiver.of("good");
    let seconds = |from: Instant, to: &Arrival| (to.at - from).as_secs_f64();
    let (Some(first), Some(last)) = (arrivals.first(), arrivals.last()) else {
        anyhow::bail!("nothing arrived");
    };
    println!(
        "{PENDING} that waited: the first {:.1} s after the receiver was back, then all in {:.1} s, {:.0}/s; {} attempts",
        seconds(back, first),
        seconds(first.at, last),
        PENDING as f64 / seconds(first.at, last),
        arrivals.len(),
    );
    trial.end().await
}
