//! Publishing again what is stored: nothing is stored, each receipt names the first position.

use anyhow::{Result, ensure};
use tokio::time::Instant;

use super::Bench;
use crate::{
    load::{self, clock::now_us},
    report::Target,
    stage::{Stage, connection::connect, process::Cpu},
    systems::System,
};

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for run in 0..bench.sizes.runs {
        if !bench.systems(run, &[System::Atlas]).is_empty() {
            measure(bench).await?;
        }
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>) -> Result<()> {
    bench.quiet.wait().await;
    let events = bench.sizes.republish_events;
    let name = format!("{events} events published twice, batches of 1,000");
    let stage = Stage::open(bench.database_url).await?;
    let start = now_us();
    let mut receipts = Vec::new();
    for figure in ["stored events a second", "recognised events a second"] {
        let publisher = connect(&stage.server.address).await?;
        let (before, started) = (Cpu::now(stage.server.pid), Instant::now());
        let answers = load::fill(publisher, events, |number| start + number).await?;
        let rate = events as f64 / started.elapsed().as_secs_f64();
        let cpu = Cpu::now(stage.server.pid).since(before);
        bench.report.add(&name, figure, Target::None, rate);
        if receipts.is_empty() {
            load::fresh(&answers, &mut receipts)?;
        } else {
            for (answer, position) in answers.iter().zip(&receipts) {
                ensure!(answer.duplicate, "{} was stored twice", answer.event_id);
                ensure!(answer.position == *position, "{} moved", answer.event_id);
            }
            bench.report.add_cost(&name, cpu, events, stage.server.pid);
        }
    }
    stage.close(bench.database_url, events).await
}
