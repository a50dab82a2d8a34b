//! From when an event is due to when a subscriber has it, at a fixed rate.

use anyhow::Result;

use super::Bench;
use crate::{
    connection::connect, load, process::Cpu, reader::Reader, report::Target, stage::Stage,
};

const NAME: &str = "latency at 1,000 a second";
const RATE: u64 = 1_000;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for _ in 0..bench.sizes.runs {
        measure(bench).await?;
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let stage = Stage::open(bench.database_url).await?;
    let warm_up = RATE * bench.sizes.warm_up_seconds;
    let events = warm_up + RATE * bench.sizes.latency_seconds;
    let mut reader = Reader::live(connect(&stage.server.address).await?, 0).await?;
    let before = Cpu::now(stage.server.pid);
    let receiving = tokio::spawn(async move { reader.read_to(events, warm_up).await });
    let publisher = connect(&stage.server.address).await?;
    let acknowledged = load::paced(publisher, RATE, events, warm_up).await?;
    let received = receiving.await??;
    let cpu = Cpu::now(stage.server.pid).since(before);
    let report = &mut bench.report;
    for (figure, target, value) in [
        (
            "publish to receipt, p50 ms",
            Target::None,
            received.quantile_ms(0.5),
        ),
        (
            "publish to receipt, p99 ms",
            Target::AtMost(20.0),
            received.quantile_ms(0.99),
        ),
        (
            "publish to receipt, max ms",
            Target::None,
            received.max_ms(),
        ),
        (
            "acknowledged after, p50 ms",
            Target::None,
            acknowledged.quantile_ms(0.5),
        ),
        (
            "acknowledged after, p99 ms",
            Target::None,
            acknowledged.quantile_ms(0.99),
        ),
    ] {
        report.add(NAME, figure, target, value);
    }
    report.add_cost(NAME, cpu, events, stage.server.pid);
    stage.close(bench.database_url, events).await
}
