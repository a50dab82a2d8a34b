//! Acknowledged publishes a second.

use std::time::Duration;

use anyhow::Result;
use atlas_events::{PublishRequest, event_publisher_client::EventPublisherClient};
use futures::{StreamExt, stream::FuturesOrdered};
use tokio::time::{Instant, sleep_until};

use super::{Bench, publish_all};
use crate::{
    clock::{Latencies, now_us},
    connection::connect,
    load::{self, Published},
    message,
    process::Cpu,
    report::Target,
    stage::Stage,
};

const BATCH_EVENTS: u64 = 500;
/// Batches in flight.
const BATCH_WINDOW: usize = 2;

enum Shape {
    Stream { publishers: usize, window: usize },
    Batches,
}

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let stream = |publishers, window| Shape::Stream { publishers, window };
    for _ in 0..bench.sizes.runs {
        let name = "publish, 8 x 250 in flight";
        measure(bench, name, Target::AtLeast(20_000.0), stream(8, 250)).await?;
        let name = "publish, 1 x 1,000 in flight";
        measure(bench, name, Target::None, stream(1, 1_000)).await?;
        let name = "publish, one at a time";
        measure(bench, name, Target::None, stream(1, 1)).await?;
        let name = "publish, batches of 500";
        measure(bench, name, Target::None, Shape::Batches).await?;
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>, name: &str, target: Target, shape: Shape) -> Result<()> {
    let stage = Stage::open(bench.database_url).await?;
    let pid = stage.server.pid;
    let from = Instant::now() + Duration::from_secs(bench.sizes.warm_up_seconds);
    let until = from + Duration::from_secs(bench.sizes.publish_seconds);
    let cpu = tokio::spawn(async move {
        sleep_until(from).await;
        let before = Cpu::now(pid);
        sleep_until(until).await;
        Cpu::now(pid).since(before)
    });
    let address = &stage.server.address;
    let published = match shape {
        Shape::Stream { publishers, window } => {
            publish_all(address, publishers, window, (from, until), 0).await?
        }
        Shape::Batches => vec![batches(address, from, until).await?],
    };
    let cpu = cpu.await?;
    let positions = published.iter().flat_map(|p| p.positions.iter().copied());
    let last_position = load::check_complete(positions)?;
    let counted: u64 = published.iter().map(|p| p.counted).sum();
    let mut latencies = Latencies::new()?;
    for publisher in &published {
        latencies.merge(&publisher.latencies)?;
    }
    let rate = counted as f64 / bench.sizes.publish_seconds as f64;
    let report = &mut bench.report;
    report.add(name, "acknowledged events a second", target, rate);
    for (figure, quantile) in [
        ("acknowledged after, p50 ms", 0.5),
        ("acknowledged after, p99 ms", 0.99),
    ] {
        report.add(name, figure, Target::None, latencies.quantile_ms(quantile));
    }
    report.add_cost(name, cpu, counted, pid);
    stage.close(bench.database_url, last_position).await
}

/// Atomic batches by the unary call.
async fn batches(address: &str, from: Instant, until: Instant) -> Result<Published> {
    let client = EventPublisherClient::new(connect(address).await?);
    let mut published = Published {
        positions: Vec::new(),
        counted: 0,
        latencies: Latencies::new()?,
    };
    let mut in_flight = FuturesOrdered::new();
    let mut number = 0;
    loop {
        while in_flight.len() < BATCH_WINDOW && Instant::now() < until {
            let due_us = now_us();
            let numbers = number..number + BATCH_EVENTS;
            number = numbers.end;
            let events = numbers
                .map(|number| message::event(number, due_us))
                .collect();
            let mut client = client.clone();
            in_flight.push_back(async move {
                let answer = client.publish(PublishRequest { events }).await?;
                anyhow::Ok((due_us, answer.into_inner().receipts))
            });
        }
        let Some(answer) = in_flight.next().await else {
            return Ok(published);
        };
        let (due_us, receipts) = answer?;
        let now = Instant::now();
        if now >= from && now < until {
            published.counted += receipts.len() as u64;
            published.latencies.record_since(due_us)?;
        }
        // Two calls may be stored in either order; each of them rises.
        let mut own = Vec::with_capacity(receipts.len());
        load::fresh(&receipts, &mut own)?;
        published.positions.append(&mut own);
    }
}
