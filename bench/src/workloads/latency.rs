//! From when an event is due to when a subscriber has it, at a fixed rate.

use anyhow::Result;

use super::{Bench, LOGS};
use crate::{load, report::Target, stage::process::Cpu, systems::System};

pub(crate) const NAME: &str = "latency at 1,000 a second";
pub(crate) const RECEIVED_P50: &str = "publish to receipt, p50 ms";
pub(crate) const RECEIVED_P99: &str = "publish to receipt, p99 ms";
pub(crate) const RECEIVED_MAX: &str = "publish to receipt, max ms";
const RATE: u64 = 1_000;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for run in 0..bench.sizes.runs {
        for system in bench.systems(run, &LOGS) {
            measure(bench, system).await?;
        }
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>, system: System) -> Result<()> {
    let running = bench.start(system, 0).await?;
    let pid = running.pid();
    let warm_up = RATE * bench.sizes.warm_up_seconds;
    let events = warm_up + RATE * bench.sizes.latency_seconds;
    let mut subscriber = running.subscriber().await?;
    let before = Cpu::now(pid);
    let receiving = tokio::spawn(async move { subscriber.read_to(events, warm_up).await });
    let publisher = running.publisher(events as usize).await?;
    let acknowledged = load::paced(publisher, RATE, events, warm_up).await?;
    let received = receiving.await??;
    let cpu = Cpu::now(pid).since(before);
    let report = &mut bench.report;
    for (figure, target, value) in [
        (RECEIVED_P50, Target::AtMost(1.0), received.quantile_ms(0.5)),
        (
            RECEIVED_P99,
            Target::AtMost(3.0),
            received.quantile_ms(0.99),
        ),
        (RECEIVED_MAX, Target::None, received.max_ms()),
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
        report.add_of(system, NAME, figure, target, value);
    }
    report.add_cost_of(system, NAME, cpu, events, pid);
    running.close(events).await
}
