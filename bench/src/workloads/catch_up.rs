//! One reader takes all that is stored, from a server whose memory holds none of it.

use anyhow::Result;
use tokio::time::Instant;

use super::Bench;
use crate::{
    clock::now_us,
    connection::connect,
    load,
    process::Cpu,
    reader::{Reader, Received},
    report::Target,
    stage::Stage,
};

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let events = bench.sizes.catch_up_events;
    let mut stage = Stage::open(bench.database_url).await?;
    let publisher = connect(&stage.server.address).await?;
    load::fill(publisher, events, |_| now_us()).await?;
    for _ in 0..bench.sizes.runs {
        stage.restart().await?;
        let channel = connect(&stage.server.address).await?;
        let target = Target::AtLeast(100_000.0);
        let reader = Reader::raw(channel, 0).await?;
        measure(
            bench,
            &stage,
            "catch-up, reader that does not decode",
            target,
            reader,
        )
        .await?;
        stage.restart().await?;
        let channel = connect(&stage.server.address).await?;
        let reader = Reader::decoding(channel, 0).await?;
        measure(
            bench,
            &stage,
            "catch-up, reader that decodes",
            target,
            reader,
        )
        .await?;
    }
    stage.close(bench.database_url, events).await
}

async fn measure<T: Received>(
    bench: &mut Bench<'_>,
    stage: &Stage,
    name: &str,
    target: Target,
    mut reader: Reader<T>,
) -> Result<()> {
    let events = bench.sizes.catch_up_events;
    let (before, started) = (Cpu::now(stage.server.pid), Instant::now());
    reader.skip_to(events).await?;
    let rate = events as f64 / started.elapsed().as_secs_f64();
    let cpu = Cpu::now(stage.server.pid).since(before);
    bench.report.add(name, "events a second", target, rate);
    bench.report.add_cost(name, cpu, events, stage.server.pid);
    Ok(())
}
