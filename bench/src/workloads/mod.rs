//! The workloads. Each starts what it measures anew, so that none pays for another.

mod beside_search;
pub(crate) mod catch_up;
mod engine;
pub(crate) mod fan_out;
mod fsync;
mod idle;
pub(crate) mod latency;
pub(crate) mod page_cost;
pub(crate) mod publish;
mod republish;
mod stalled;

use anyhow::{Context, Result};
use clap::ValueEnum;
use futures::future::try_join_all;
use tokio::task::JoinSet;

use crate::{
    arguments::{RunOptions, Sizes, Workload},
    load::{self, FlatOut, Published, Publisher},
    progress,
    quiet::Quiet,
    report::Report,
    systems::{self, Peers, Running, System},
};

/// What a workload is given.
pub(crate) struct Bench<'a> {
    pub(crate) database_url: &'a str,
    pub(crate) sizes: Sizes,
    pub(crate) report: &'a mut Report,
    pub(crate) peers: &'a Peers,
    /// Only these, where they are installed; all if empty.
    pub(crate) systems: &'a [System],
    pub(crate) quiet: &'a mut Quiet,
}

impl Bench<'_> {
    /// Those of `able` that are measured, in another order in each run: what drifts, drifts for all.
    fn systems(&self, run: u32, able: &[System]) -> Vec<System> {
        let wanted = |system: &System| self.systems.is_empty() || self.systems.contains(system);
        let here = |system: &System| wanted(system) && self.peers.has(*system);
        let mut systems: Vec<_> = able.iter().copied().filter(here).collect();
        if !systems.is_empty() {
            let first = run as usize % systems.len();
            systems.rotate_left(first);
        }
        systems
    }

    /// Starts a system with an empty log, that will get so many events, where that must be known.
    async fn start(&mut self, system: System, events: u64) -> Result<Box<dyn Running>> {
        self.quiet.wait().await;
        systems::start(system, self.database_url, self.peers, events)
            .await
            .with_context(|| format!("cannot start {}", system.title()))
    }
}

/// The systems that keep a log and deliver it.
const LOGS: [System; 5] = [
    System::Atlas,
    System::NatsDurable,
    System::NatsRelaxed,
    System::RedisAlways,
    System::RedisEverysec,
];

fn logs_and(more: &[System]) -> Vec<System> {
    [&LOGS, more].concat()
}

pub(crate) async fn run(
    options: &RunOptions,
    report: &mut Report,
    quiet: &mut Quiet,
) -> Result<()> {
    let mut bench = Bench {
        database_url: &options.database_url,
        sizes: Sizes::of(options),
        report,
        peers: &options.peers,
        systems: &options.systems,
        quiet,
    };
    let workloads = match options.workloads.as_slice() {
        [] => Workload::value_variants(),
        some => some,
    };
    run_all(&mut bench, workloads).await
}

/// All workloads of ATLAS alone, as small as they can be.
pub(crate) async fn smoke(database_url: &str, report: &mut Report) -> Result<()> {
    let mut bench = Bench {
        database_url,
        sizes: Sizes::smoke(),
        report,
        peers: &Peers::none(),
        systems: &[System::Atlas],
        quiet: &mut Quiet::new(None),
    };
    run_all(&mut bench, Workload::value_variants()).await
}

async fn run_all(bench: &mut Bench<'_>, workloads: &[Workload]) -> Result<()> {
    for workload in workloads {
        let name = format!("{workload:?}");
        progress(&format!("measuring {name}"));
        let measured = match workload {
            Workload::Publish => publish::run(bench).await,
            Workload::Latency => latency::run(bench).await,
            Workload::BesideSearch => beside_search::run(bench).await,
            Workload::FanOut => fan_out::run(bench).await,
            Workload::CatchUp => catch_up::run(bench).await,
            Workload::PageCost => page_cost::run(bench).await,
            Workload::Idle => idle::run(bench).await,
            Workload::Republish => republish::run(bench).await,
            Workload::Fsync => fsync::run(bench),
            Workload::Stalled => stalled::run(bench).await,
            Workload::Engine if bench.systems(0, &[System::Atlas]).is_empty() => Ok(()),
            Workload::Engine => engine::run(bench).await,
            Workload::EngineStart if bench.systems(0, &[System::Atlas]).is_empty() => Ok(()),
            Workload::EngineStart => engine::start::run(bench).await,
        };
        measured.context(name)?;
    }
    Ok(())
}

/// Numbers of events that one publisher may use.
const NUMBERS_A_PUBLISHER: u64 = 1 << 32;

/// Publishers on connections of their own, all flat out for the same time.
pub(crate) async fn publish_all(
    publishers: Vec<Box<dyn Publisher>>,
    how: FlatOut,
) -> Result<Vec<Published>> {
    let mut first_number = how.first_number;
    let tasks = publishers.into_iter().map(|publisher| {
        let how = FlatOut {
            first_number,
            ..how
        };
        first_number += NUMBERS_A_PUBLISHER;
        tokio::spawn(load::flat_out(publisher, how))
    });
    try_join_all(tasks).await?.into_iter().collect()
}

/// Waits for all tasks; the first failure ends the others.
pub(crate) async fn all<T: 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut done = Vec::with_capacity(tasks.len());
    while let Some(ended) = tasks.join_next().await {
        done.push(ended??);
    }
    Ok(done)
}
