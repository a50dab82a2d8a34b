//! Acknowledged publishes a second.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use tokio::time::{Instant, sleep_until};

use super::{Bench, logs_and, publish_all};
use crate::{
    load::{self, FlatOut, clock::Latencies, message::Size},
    report::Target,
    stage::process::Cpu,
    systems::System,
};

pub(crate) const PIPELINED: &str = "publish, 8 x 250 in flight";
pub(crate) const ONE_AT_A_TIME: &str = "publish, one at a time";
pub(crate) const RATE: &str = "acknowledged events a second";
pub(crate) const P50: &str = "acknowledged after, p50 ms";
pub(crate) const P99: &str = "acknowledged after, p99 ms";

struct Shape {
    name: &'static str,
    publishers: usize,
    window: usize,
    batch: u64,
    target: Target,
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: PIPELINED,
        publishers: 8,
        window: 250,
        batch: 1,
        target: Target::AtLeast(150_000.0),
    },
    Shape {
        name: "publish, 1 x 1,000 in flight",
        publishers: 1,
        window: 1_000,
        batch: 1,
        target: Target::None,
    },
    Shape {
        name: ONE_AT_A_TIME,
        publishers: 1,
        window: 1,
        batch: 1,
        target: Target::None,
    },
    Shape {
        name: "publish, atomic batches of 500, 2 in flight",
        publishers: 1,
        window: 2,
        batch: 500,
        target: Target::None,
    },
];

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for run in 0..bench.sizes.runs {
        for shape in &SHAPES {
            for system in bench.systems(run, &logs_and(&[System::Database])) {
                measure(bench, system, shape).await?;
            }
        }
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>, system: System, shape: &Shape) -> Result<()> {
    let running = bench.start(system, 0).await?;
    let pid = running.pid();
    let opening = (0..shape.publishers).map(|_| running.publisher(shape.window));
    let publishers = try_join_all(opening).await?;
    let from = Instant::now() + Duration::from_secs(bench.sizes.warm_up_seconds);
    let until = from + Duration::from_secs(bench.sizes.publish_seconds);
    let cpu = tokio::spawn(async move {
        sleep_until(from).await;
        let before = Cpu::now(pid);
        sleep_until(until).await;
        Cpu::now(pid).since(before)
    });
    let how = FlatOut {
        window: shape.window,
        batch: shape.batch,
        first_number: 0,
        from,
        counted_until: until,
        until,
        size: Size::Usual,
    };
    let published = publish_all(publishers, how).await?;
    let cpu = cpu.await?;
    let mut last = published.iter().map(|p| p.positions.len() as u64).sum();
    if system.numbers() {
        let positions = published.iter().flat_map(|p| p.positions.iter().copied());
        last = load::check_complete(positions)?;
    }
    let counted: u64 = published.iter().map(|p| p.counted).sum();
    let mut latencies = Latencies::new()?;
    for publisher in &published {
        latencies.merge(&publisher.latencies)?;
    }
    let rate = counted as f64 / bench.sizes.publish_seconds as f64;
    let report = &mut bench.report;
    report.add_of(system, shape.name, RATE, shape.target, rate);
    for (figure, quantile) in [(P50, 0.5), (P99, 0.99)] {
        let value = latencies.quantile_ms(quantile);
        report.add_of(system, shape.name, figure, Target::None, value);
    }
    report.add_cost_of(system, shape.name, cpu, counted, pid);
    running.close(last).await
}
