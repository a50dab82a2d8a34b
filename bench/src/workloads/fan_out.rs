//! Many subscribers that all get everything: at a fixed rate, and as fast as it goes.

use anyhow::Result;
use tokio::{task::JoinSet, time::Instant};

use super::{
    Bench, LOGS, all,
    latency::{RECEIVED_MAX, RECEIVED_P50, RECEIVED_P99},
    logs_and,
};
use crate::{
    load::{self, Pipeline, clock::Latencies},
    reader::Reader,
    report::Target,
    stage::{
        Stage,
        connection::{connect, connect_many},
        process::Cpu,
    },
    systems::{Running, Subscriber, System},
};

pub(crate) const PACED: &str = "fan-out at 1,000 a second";
pub(crate) const FLAT_OUT: &str = "fan-out flat out";
pub(crate) const DELIVERIES: &str = "deliveries a second";
const RATE: u64 = 1_000;
/// Events in flight when it goes as fast as it can.
const WINDOW: usize = 1_000;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for run in 0..bench.sizes.runs {
        for system in bench.systems(run, &LOGS) {
            paced(bench, system).await?;
        }
        for system in bench.systems(run, &logs_and(&[System::Grpc])) {
            flat_out(bench, system).await?;
        }
        if !bench.systems(run, &[System::Atlas]).is_empty() {
            decoding(bench).await?;
        }
    }
    Ok(())
}

async fn subscribe(running: &dyn Running, count: usize) -> Result<Vec<Box<dyn Subscriber>>> {
    let mut subscribers = Vec::with_capacity(count);
    for _ in 0..count {
        subscribers.push(running.subscriber().await?);
    }
    Ok(subscribers)
}

async fn paced(bench: &mut Bench<'_>, system: System) -> Result<()> {
    let running = bench.start(system, 0).await?;
    let (pid, subscribers) = (running.pid(), bench.sizes.fan_out_subscribers);
    let warm_up = RATE * bench.sizes.warm_up_seconds;
    let events = warm_up + RATE * bench.sizes.fan_out_seconds;
    let name = format!("{PACED}, {subscribers} subscribers");
    let mut receiving = JoinSet::new();
    for mut subscriber in subscribe(running.as_ref(), subscribers).await? {
        receiving.spawn(async move { subscriber.read_to(events, warm_up).await });
    }
    let before = Cpu::now(pid);
    let publisher = running.publisher(events as usize).await?;
    load::paced(publisher, RATE, events, warm_up).await?;
    let mut latencies = Latencies::new()?;
    for received in all(receiving).await? {
        latencies.merge(&received)?;
    }
    let cpu = Cpu::now(pid).since(before);
    let report = &mut bench.report;
    for (figure, target, value) in [
        (RECEIVED_P50, Target::None, latencies.quantile_ms(0.5)),
        (
            RECEIVED_P99,
            Target::AtMost(10.0),
            latencies.quantile_ms(0.99),
        ),
        (RECEIVED_MAX, Target::None, latencies.max_ms()),
    ] {
        report.add_of(system, &name, figure, target, value);
    }
    report.add_cost_of(system, &name, cpu, events * subscribers as u64, pid);
    running.close(events).await
}

async fn flat_out(bench: &mut Bench<'_>, system: System) -> Result<()> {
    let (events, subscribers) = (bench.sizes.fan_out_events, bench.sizes.fan_out_subscribers);
    let running = bench.start(system, events).await?;
    let pid = running.pid();
    let name = format!("{FLAT_OUT}, {subscribers} subscribers");
    let mut receiving = JoinSet::new();
    let readers = subscribe(running.as_ref(), subscribers).await?;
    let publisher = match system {
        System::Grpc => None,
        _ => Some(running.publisher(WINDOW).await?),
    };
    let (before, started) = (Cpu::now(pid), Instant::now());
    for mut subscriber in readers {
        receiving.spawn(async move { subscriber.skip_to(events).await });
    }
    if let Some(publisher) = publisher {
        load::burst(publisher, events, WINDOW).await?;
    }
    all(receiving).await?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = Cpu::now(pid).since(before);
    let deliveries = events * subscribers as u64;
    let (rate, target) = (deliveries as f64 / seconds, Target::AtLeast(1_000_000.0));
    let report = &mut bench.report;
    report.add_of(system, &name, DELIVERIES, target, rate);
    report.add_cost_of(system, &name, cpu, deliveries, pid);
    running.close(events).await
}

/// Flat out, to clients that decode every event, as services do.
async fn decoding(bench: &mut Bench<'_>) -> Result<()> {
    let (events, subscribers) = (bench.sizes.fan_out_events, bench.sizes.fan_out_subscribers);
    bench.quiet.wait().await;
    let stage = Stage::open(bench.database_url).await?;
    let server = &stage.server;
    let name = format!("{FLAT_OUT}, {subscribers} subscribers that decode");
    let mut receiving = JoinSet::new();
    for channel in connect_many(&server.address, subscribers).await? {
        let mut reader = Reader::live(channel, 0).await?;
        receiving.spawn(async move { reader.skip_to(events).await });
    }
    let publisher = Pipeline::open(connect(&server.address).await?, WINDOW).await?;
    let (before, started) = (Cpu::now(server.pid), Instant::now());
    load::burst(Box::new(publisher), events, WINDOW).await?;
    all(receiving).await?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = Cpu::now(server.pid).since(before);
    let deliveries = events * subscribers as u64;
    let rate = deliveries as f64 / seconds;
    bench.report.add(&name, DELIVERIES, Target::None, rate);
    bench.report.add_cost(&name, cpu, deliveries, server.pid);
    stage.close(bench.database_url, events).await
}
