//! Measures ATLAS: a server process of its own on a database of its own, and load over gRPC.
//!
//! Load is open loop where latency is measured: latencies count from when an event was due, so a
//! server that falls behind cannot hide it. Every workload proves that each event was acknowledged
//! once, and received once and in order; none asserts a speed.
//!
//! Where to change what: sizes in `arguments`, the event in `message`, publishers in `load`, readers
//! in `reader`, peers and limits in `systems`, what is printed in `report`, what grows in `growth`,
//! and one file for each workload.

mod arguments;
mod growth;
mod load;
mod quiet;
mod reader;
mod report;
mod rows;
mod stage;
mod systems;
mod workloads;

use std::io::{Write, stderr, stdout};

use anyhow::{Context, Result};
use arguments::{Arguments, Command, RunOptions};
use clap::Parser;
use quiet::Quiet;
use report::Report;

/// As in the programs that are measured; the load generator gains as much for every system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<()> {
    // A thousand connections need as many file descriptors, at both ends.
    rlimit::increase_nofile_limit(65_536).context("cannot raise the limit of open files")?;
    match Arguments::parse().command {
        Command::Serve(options) => stage::serve::run(&options).await,
        Command::ServeEngine(flags) => serve_engine(flags).await,
        Command::ServeFrames { events } => systems::serve_frames(events).await,
        Command::Run(options) => run(&options).await,
        Command::Smoke(options) => smoke(&options.database_url).await,
        Command::Growth(options) => growth::run(&options).await,
    }
}

async fn run(options: &RunOptions) -> Result<()> {
    let mut settings = report::settings(&options.database_url).await?;
    settings.extend(options.peers.versions().await?);
    progress(&settings.join("\n"));
    let mut report = Report::new(settings);
    let mut quiet = Quiet::new(options.quiet_wait);
    let measuring = workloads::run(options, &mut report, &mut quiet);
    cleaning_up(&options.database_url, measuring).await?;
    report.note(quiet.summary());
    stdout().write_all(report.table().as_bytes())?;
    if let Some(path) = options.results.as_ref().filter(|_| options.is_complete()) {
        std::fs::write(path, report.markdown(&options.command()))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The program `threshold-engine serve`, which brings a runtime of its own.
async fn serve_engine(flags: threshold_engine::config::Flags) -> Result<()> {
    let run = move || service::run::<threshold_engine::service::Service>(&flags, None);
    let code = tokio::task::spawn_blocking(run).await?;
    anyhow::ensure!(code == std::process::ExitCode::SUCCESS, "the engine failed");
    Ok(())
}

/// Fails where a workload does: an event lost, repeated or out of order.
async fn smoke(database_url: &str) -> Result<()> {
    let mut report = Report::new(Vec::new());
    cleaning_up(database_url, workloads::smoke(database_url, &mut report)).await?;
    progress("every event was acknowledged once, and received once and in order");
    Ok(())
}

/// Drops the databases that are left when measuring ends, however it does.
async fn cleaning_up(
    database_url: &str,
    measuring: impl Future<Output = Result<()>>,
) -> Result<()> {
    let measured = tokio::select! {
        measured = measuring => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    stage::database::drop_created(database_url).await?;
    measured
}

/// A line for people on standard error; there is nowhere to report it if that fails.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}
