//! Many subscribers that all get everything: at a fixed rate, and as fast as it goes.

use anyhow::Result;
use atlas_events::Event;
use tokio::{task::JoinSet, time::Instant};

use super::{Bench, all};
use crate::{
    clock::{Latencies, now_us},
    connection::{connect, connect_many},
    load::{self, Acknowledged, Pipeline},
    message,
    process::Cpu,
    raw::Scanned,
    reader::{Reader, Received},
    report::Target,
    stage::{Server, Stage},
};

const RATE: u64 = 1_000;
/// Events in flight when it goes as fast as it can.
const WINDOW: usize = 1_000;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for _ in 0..bench.sizes.runs {
        let stage = Stage::open(bench.database_url).await?;
        let mut last_position = paced(bench, &stage.server).await?;
        let subscribers = bench.sizes.fan_out_subscribers;
        let name = format!("fan-out flat out, {subscribers} subscribers");
        last_position += flat_out(bench, &stage.server, &name, last_position, raw).await?;
        let name = format!("{name} that decode");
        last_position += flat_out(bench, &stage.server, &name, last_position, decoding).await?;
        stage.close(bench.database_url, last_position).await?;
    }
    Ok(())
}

async fn raw(channel: tonic::transport::Channel, after: u64) -> Result<Reader<Scanned>> {
    Reader::raw(channel, after).await
}

async fn decoding(channel: tonic::transport::Channel, after: u64) -> Result<Reader<Event>> {
    Reader::live(channel, after).await
}

/// Returns the last position.
async fn paced(bench: &mut Bench<'_>, server: &Server) -> Result<u64> {
    let sizes = &bench.sizes;
    let warm_up = RATE * sizes.warm_up_seconds;
    let events = warm_up + RATE * sizes.fan_out_seconds;
    let name = format!(
        "fan-out at 1,000 a second, {} subscribers",
        sizes.fan_out_subscribers
    );
    let mut readers = JoinSet::new();
    for channel in connect_many(&server.address, sizes.fan_out_subscribers).await? {
        let mut reader = Reader::live(channel, 0).await?;
        readers.spawn(async move { reader.read_to(events, warm_up).await });
    }
    let before = Cpu::now(server.pid);
    let publisher = connect(&server.address).await?;
    load::paced(publisher, RATE, events, warm_up).await?;
    let mut latencies = Latencies::new()?;
    for reader in all(readers).await? {
        latencies.merge(&reader)?;
    }
    let cpu = Cpu::now(server.pid).since(before);
    let deliveries = events * bench.sizes.fan_out_subscribers as u64;
    let report = &mut bench.report;
    for (figure, target, value) in [
        (
            "publish to receipt, p50 ms",
            Target::None,
            latencies.quantile_ms(0.5),
        ),
        (
            "publish to receipt, p99 ms",
            Target::AtMost(100.0),
            latencies.quantile_ms(0.99),
        ),
        (
            "publish to receipt, max ms",
            Target::None,
            latencies.max_ms(),
        ),
    ] {
        report.add(&name, figure, target, value);
    }
    report.add_cost(&name, cpu, deliveries, server.pid);
    Ok(events)
}

/// Returns how many events were published.
async fn flat_out<T, Subscribing>(
    bench: &mut Bench<'_>,
    server: &Server,
    name: &str,
    after: u64,
    subscribe: impl Fn(tonic::transport::Channel, u64) -> Subscribing,
) -> Result<u64>
where
    T: Received + Send + 'static,
    Subscribing: Future<Output = Result<Reader<T>>>,
{
    let events = bench.sizes.fan_out_events;
    let subscribers = bench.sizes.fan_out_subscribers;
    let mut readers = JoinSet::new();
    for channel in connect_many(&server.address, subscribers).await? {
        let mut reader = subscribe(channel, after).await?;
        readers.spawn(async move { reader.skip_to(after + events).await });
    }
    let publisher = connect(&server.address).await?;
    let (before, started) = (Cpu::now(server.pid), Instant::now());
    publish(publisher, after, events).await?;
    all(readers).await?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = Cpu::now(server.pid).since(before);
    let deliveries = events * subscribers as u64;
    let rate = deliveries as f64 / seconds;
    bench
        .report
        .add(name, "deliveries a second", Target::None, rate);
    bench.report.add_cost(name, cpu, deliveries, server.pid);
    Ok(events)
}

async fn publish(channel: tonic::transport::Channel, after: u64, events: u64) -> Result<()> {
    let mut pipeline = Pipeline::open(channel, WINDOW).await?;
    let (mut number, mut positions) = (after, Vec::new());
    while (positions.len() as u64) < events {
        while pipeline.in_flight() < WINDOW && number < after + events {
            let due_us = now_us();
            pipeline.send(vec![message::event(number, due_us)], due_us)?;
            number += 1;
        }
        let Acknowledged { receipts, .. } = pipeline.acknowledged().await?;
        load::fresh(&receipts, &mut positions)?;
    }
    Ok(())
}
