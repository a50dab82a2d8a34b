//! Measures ATLAS: a server process of its own on a database of its own, and load over gRPC.
//!
//! Load is open loop where latency is measured: latencies count from when an event was due, so a
//! server that falls behind cannot hide it. Every workload proves that each event was acknowledged
//! once, and received once and in order; none asserts a speed.
//!
//! Where to change what: sizes in `arguments`, the event in `message`, publishers in `load`, readers
//! in `reader`, what is printed in `report`, and one file for each workload.

mod arguments;
mod clock;
mod connection;
mod database;
mod load;
mod message;
mod process;
mod raw;
mod reader;
mod report;
mod serve;
mod stage;
mod workloads;

use std::io::{Write, stderr, stdout};

use anyhow::{Context, Result};
use arguments::{Arguments, Command, RunOptions};
use clap::Parser;
use report::Report;

#[tokio::main]
async fn main() -> Result<()> {
    // A thousand connections need as many file descriptors, at both ends.
    rlimit::increase_nofile_limit(65_536).context("cannot raise the limit of open files")?;
    match Arguments::parse().command {
        Command::Serve(options) => serve::run(&options).await,
        Command::ServeEngine(flags) => serve_engine(flags).await,
        Command::Run(options) => run(&options).await,
    }
}

async fn run(options: &RunOptions) -> Result<()> {
    let settings = report::settings(&options.database_url).await?;
    progress(&settings.join("\n"));
    let mut report = Report::new(settings);
    let measured = tokio::select! {
        measured = workloads::run(options, &mut report) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    database::drop_created(&options.database_url).await?;
    measured?;
    stdout().write_all(report.table().as_bytes())?;
    if let Some(path) = &options.markdown {
        std::fs::write(path, report.markdown())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The program `threshold-engine serve`, which brings a runtime of its own.
async fn serve_engine(flags: threshold_engine::config::Flags) -> Result<()> {
    let run = move || threshold_engine::service::run_program(&flags);
    let code = tokio::task::spawn_blocking(run).await??;
    anyhow::ensure!(code == std::process::ExitCode::SUCCESS, "the engine failed");
    Ok(())
}

/// A line for people on standard error; there is nobody to tell if that fails.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}
