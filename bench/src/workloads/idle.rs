//! What subscribers cost that get next to nothing.

use anyhow::Result;

use super::{Bench, all};
use crate::{
    load::{self, Pipeline},
    reader::Reader,
    report::Target,
    stage::{
        Stage,
        connection::{connect, connect_many},
        process::resident_mib,
    },
    systems::System,
};
use tokio::task::JoinSet;

/// Published at the end, so that it is known that all were subscribed.
const EVENTS: u64 = 10;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    for run in 0..bench.sizes.runs {
        if !bench.systems(run, &[System::Atlas]).is_empty() {
            measure(bench).await?;
        }
    }
    Ok(())
}

async fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let subscribers = bench.sizes.idle_subscribers;
    let name = format!("{subscribers} idle subscribers");
    bench.quiet.wait().await;
    let stage = Stage::open(bench.database_url).await?;
    let pid = stage.server.pid;
    let before = resident_mib(pid);
    let mut readers = Vec::with_capacity(subscribers);
    for channel in connect_many(&stage.server.address, subscribers).await? {
        readers.push(Reader::live(channel, 0).await?);
    }
    let idle = resident_mib(pid);
    let mut receiving = JoinSet::new();
    for mut reader in readers {
        receiving.spawn(async move {
            reader.skip_to(EVENTS).await?;
            Ok(reader)
        });
    }
    let publisher = connect(&stage.server.address).await?;
    let publisher = Pipeline::open(publisher, EVENTS as usize).await?;
    load::paced(Box::new(publisher), 100, EVENTS, 0).await?;
    let readers = all(receiving).await?;
    let after = resident_mib(pid);
    drop(readers);
    let report = &mut bench.report;
    for (figure, target, value) in [
        ("server memory without them, MiB", Target::None, before),
        ("server memory, MiB", Target::None, idle),
        ("server memory after 10 events, MiB", Target::None, after),
        (
            "memory of one, KiB",
            Target::AtMost(100.0),
            (idle - before) * 1_024.0 / subscribers as f64,
        ),
    ] {
        report.add(&name, figure, target, value);
    }
    stage.close(bench.database_url, EVENTS).await
}
