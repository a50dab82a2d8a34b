//! One reader takes all that is stored, from a server whose memory holds none of it.

use anyhow::Result;
use tokio::time::Instant;

use super::{Bench, logs_and};
use crate::{
    load::{self, clock::now_us},
    reader::Reader,
    report::Target,
    stage::{Stage, connection::connect, process::Cpu},
    systems::System,
};

pub(crate) const NAME: &str = "catch-up, reader that does not decode";
pub(crate) const RATE: &str = "events a second";
const DECODING: &str = "catch-up, reader that decodes";
/// Events in flight while the log is filled.
const FILL_WINDOW: usize = 2_000;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for run in 0..bench.sizes.runs {
        for system in bench.systems(run, &logs_and(&[System::Database, System::Grpc])) {
            measure(bench, system).await?;
        }
        if !bench.systems(run, &[System::Atlas]).is_empty() {
            decoding(bench).await?;
        }
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>, system: System) -> Result<()> {
    let events = bench.sizes.catch_up_events;
    let mut running = bench.start(system, events).await?;
    if system != System::Grpc {
        let publisher = running.publisher(FILL_WINDOW).await?;
        load::burst(publisher, events, FILL_WINDOW).await?;
        running.forget().await?;
    }
    let pid = running.pid();
    // Connecting counts, for a subscription begins to flow at once.
    let (before, started) = (Cpu::now(pid), Instant::now());
    let mut subscriber = running.subscriber().await?;
    subscriber.skip_to(events).await?;
    let rate = events as f64 / started.elapsed().as_secs_f64();
    let cpu = Cpu::now(pid).since(before);
    drop(subscriber);
    let report = &mut bench.report;
    report.add_of(system, NAME, RATE, Target::AtLeast(400_000.0), rate);
    report.add_cost_of(system, NAME, cpu, events, pid);
    running.close(events).await
}

async fn decoding(bench: &mut Bench<'_>) -> Result<()> {
    let events = bench.sizes.catch_up_events;
    bench.quiet.wait().await;
    let mut stage = Stage::open(bench.database_url).await?;
    let publisher = connect(&stage.server.address).await?;
    load::fill(publisher, events, |_| now_us()).await?;
    stage.restart().await?;
    let pid = stage.server.pid;
    let channel = connect(&stage.server.address).await?;
    let (before, started) = (Cpu::now(pid), Instant::now());
    let mut reader = Reader::decoding(channel, 0).await?;
    reader.skip_to(events).await?;
    let rate = events as f64 / started.elapsed().as_secs_f64();
    let cpu = Cpu::now(pid).since(before);
    drop(reader);
    let report = &mut bench.report;
    report.add(DECODING, RATE, Target::AtLeast(400_000.0), rate);
    report.add_cost(DECODING, cpu, events, pid);
    stage.close(bench.database_url, events).await
}
