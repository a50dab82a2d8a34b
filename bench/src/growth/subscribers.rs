//! From one subscriber to a thousand, each on a connection of its own.

use anyhow::Result;
use tokio::{task::JoinSet, time::Instant};

use super::{Growth, Pace, Plot, receive};
use crate::{
    load::{self, Pipeline},
    reader::Reader,
    stage::{
        Stage,
        connection::{connect, connect_many},
        process::resident_mib,
    },
    workloads::all,
};

const SUBSCRIBERS: [usize; 4] = [1, 10, 100, 1_000];
const PACE: Pace = Pace {
    events_a_second: 100,
    seconds: 5,
};
const EVENTS_MAX: u64 = 20_000;
const DELIVERIES_MAX: u64 = 4_000_000;
const WINDOW: usize = 1_000;

pub(super) async fn measure(growth: &mut Growth<'_>) -> Result<Vec<Plot>> {
    let mut rate = Plot::new(
        "subscribers-rate",
        "Flat out: deliveries over all subscribers",
        ("subscribers", "deliveries a second"),
        &["all together"],
    );
    let mut latency = Plot::new(
        "subscribers-latency",
        "Publish to receipt at 100 events a second",
        ("subscribers", "ms"),
        &["p50", "p99"],
    );
    let mut memory = Plot::new(
        "subscribers-memory",
        "Memory of the server for a subscriber that waits",
        ("subscribers", "KiB"),
        &["each"],
    );
    let most = growth.either(1_000, 20);
    for subscribers in SUBSCRIBERS.into_iter().filter(|count| *count <= most) {
        let x = subscribers as f64;
        growth.quiet.wait().await;
        let stage = Stage::open(growth.database_url).await?;
        let address = &stage.server.address;
        let received = receive((address, address), subscribers, 0, PACE).await?;
        latency.add(
            x,
            &[0.5, 0.99].map(|quantile| received.quantile_ms(quantile)),
        );
        stage.close(growth.database_url, PACE.events()).await?;
        growth.quiet.wait().await;
        let (deliveries, kib) = flat_out(growth, subscribers).await?;
        rate.add(x, &[deliveries]);
        // Of a few, nothing but the allocator's pages would be seen.
        if subscribers >= 10 {
            memory.add(x, &[kib]);
        }
    }
    Ok(vec![rate, latency, memory])
}

/// Deliveries a second, and what each subscriber costs in memory before anything is delivered.
async fn flat_out(growth: &Growth<'_>, subscribers: usize) -> Result<(f64, f64)> {
    let events = EVENTS_MAX.min(DELIVERIES_MAX / subscribers as u64);
    let stage = Stage::open(growth.database_url).await?;
    let server = &stage.server;
    let pipeline = Pipeline::open(connect(&server.address).await?, WINDOW).await?;
    let before = resident_mib(server.pid);
    let mut receiving = JoinSet::new();
    for channel in connect_many(&server.address, subscribers).await? {
        let mut reader = Reader::raw(channel, 0).await?;
        receiving.spawn(async move { reader.skip_to(events).await });
    }
    let kib = (resident_mib(server.pid) - before).max(0.0) * 1_024.0 / subscribers as f64;
    let started = Instant::now();
    load::burst(Box::new(pipeline), events, WINDOW).await?;
    all(receiving).await?;
    let rate = (events * subscribers as u64) as f64 / started.elapsed().as_secs_f64();
    stage.close(growth.database_url, events).await?;
    Ok((rate, kib))
}
