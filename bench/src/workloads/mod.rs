//! The workloads, each with its own database and server.

mod catch_up;
mod engine;
mod fan_out;
mod idle;
mod latency;
mod page_cost;
mod publish;
mod republish;
mod stalled;

use anyhow::{Context, Result};
use clap::ValueEnum;
use futures::future::try_join_all;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    arguments::{RunOptions, Sizes, Workload},
    connection::connect_many,
    load::{self, FlatOut, Published},
    progress,
    report::Report,
};

/// What a workload is given.
struct Bench<'a> {
    database_url: &'a str,
    sizes: Sizes,
    report: &'a mut Report,
}

pub(crate) async fn run(options: &RunOptions, report: &mut Report) -> Result<()> {
    let mut bench = Bench {
        database_url: &options.database_url,
        sizes: Sizes::of(options),
        report,
    };
    let workloads = match options.workloads.as_slice() {
        [] => Workload::value_variants(),
        some => some,
    };
    for workload in workloads {
        let name = format!("{workload:?}");
        progress(&format!("measuring {name}"));
        let measured = match workload {
            Workload::Publish => publish::run(&mut bench).await,
            Workload::Latency => latency::run(&mut bench).await,
            Workload::FanOut => fan_out::run(&mut bench).await,
            Workload::CatchUp => catch_up::run(&mut bench).await,
            Workload::PageCost => page_cost::run(&mut bench).await,
            Workload::Idle => idle::run(&mut bench).await,
            Workload::Republish => republish::run(&mut bench).await,
            Workload::Stalled => stalled::run(&mut bench).await,
            Workload::Engine => engine::run(&mut bench).await,
        };
        measured.context(name)?;
    }
    Ok(())
}

/// Numbers of events that one publisher may use.
const NUMBERS_A_PUBLISHER: u64 = 1 << 32;

/// Publishers on connections of their own, all flat out for the same time.
async fn publish_all(
    address: &str,
    publishers: usize,
    window: usize,
    (from, until): (Instant, Instant),
    first_number: u64,
) -> Result<Vec<Published>> {
    let channels = connect_many(address, publishers).await?;
    let mut first_number = first_number;
    let tasks = channels.into_iter().map(|channel| {
        let how = FlatOut {
            window,
            first_number,
            from,
            until,
        };
        first_number += NUMBERS_A_PUBLISHER;
        tokio::spawn(load::flat_out(channel, how))
    });
    try_join_all(tasks).await?.into_iter().collect()
}

/// Waits for all tasks; the first failure ends the others.
async fn all<T: 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(ended) = tasks.join_next().await {
        done.push(ended??);
    }
    Ok(done)
}
