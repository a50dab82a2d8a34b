//! Commands, flags, and how much each workload does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures ATLAS on a TimescaleDB.
#[derive(Debug, Parser)]
#[command(name = "atlas-bench", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run workloads and print a table
    Run(RunOptions),
    /// Serve an event log until standard input ends; started by `run`
    #[command(hide = true)]
    Serve(ServeOptions),
    /// Serve a threshold engine until a signal; started by `run`
    #[command(hide = true)]
    ServeEngine(threshold_engine::config::Flags),
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Only these workloads; all if absent
    #[arg(value_enum)]
    pub(crate) workloads: Vec<Workload>,
    /// A TimescaleDB whose role may create databases; each measurement makes one and drops it
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
    /// The full measurement, about five minutes; this is the default
    #[arg(long, conflicts_with = "quick")]
    pub(crate) standard: bool,
    /// Small sizes, one run: whether all works, in half a minute
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often each figure is measured; the median counts (default: 3, quick: 1)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: Option<u32>,
    /// How long the stalled reader stalls (default: 8, quick: 2)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) stall_seconds: Option<u64>,
    /// Also write the results to this file
    #[arg(long, value_name = "PATH")]
    pub(crate) markdown: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeOptions {
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Acknowledged publishes a second
    Publish,
    /// Publish to receipt at a fixed rate
    Latency,
    /// A hundred subscribers
    FanOut,
    /// One reader takes all that is stored
    CatchUp,
    /// A page by position in a log of few chunks and in one of many
    PageCost,
    /// Memory of a thousand idle subscribers
    Idle,
    /// Publishing again what is stored
    Republish,
    /// A reader that stops reading under full load
    Stalled,
    /// The threshold engine: a backlog, publish to crossing, a cold start
    Engine,
}

/// How much each workload does.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    pub(crate) runs: u32,
    pub(crate) warm_up_seconds: u64,
    pub(crate) publish_seconds: u64,
    pub(crate) latency_seconds: u64,
    pub(crate) fan_out_subscribers: usize,
    pub(crate) fan_out_seconds: u64,
    pub(crate) fan_out_events: u64,
    pub(crate) catch_up_events: u64,
    pub(crate) page_cost_events: u64,
    pub(crate) page_cost_chunks: u64,
    pub(crate) page_cost_pages: usize,
    pub(crate) idle_subscribers: usize,
    pub(crate) republish_events: u64,
    pub(crate) stall_seconds: u64,
    pub(crate) engine_years: i32,
}

impl Sizes {
    pub(crate) fn of(options: &RunOptions) -> Self {
        let mut sizes = match options.quick {
            true => Self::quick(),
            false => Self::standard(),
        };
        sizes.runs = options.runs.unwrap_or(sizes.runs);
        sizes.stall_seconds = options.stall_seconds.unwrap_or(sizes.stall_seconds);
        sizes
    }

    fn standard() -> Self {
        Self {
            runs: 3,
            warm_up_seconds: 1,
            publish_seconds: 3,
            latency_seconds: 15,
            fan_out_subscribers: 100,
            fan_out_seconds: 8,
            fan_out_events: 20_000,
            catch_up_events: 500_000,
            page_cost_events: 200_000,
            page_cost_chunks: 200,
            page_cost_pages: 300,
            idle_subscribers: 1_000,
            republish_events: 1_000_000,
            stall_seconds: 8,
            engine_years: 60,
        }
    }

    fn quick() -> Self {
        Self {
            runs: 1,
            warm_up_seconds: 1,
            publish_seconds: 1,
            latency_seconds: 2,
            fan_out_subscribers: 20,
            fan_out_seconds: 1,
            fan_out_events: 2_000,
            catch_up_events: 20_000,
            page_cost_events: 20_000,
            page_cost_chunks: 20,
            page_cost_pages: 20,
            idle_subscribers: 100,
            republish_events: 20_000,
            stall_seconds: 2,
            engine_years: 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
