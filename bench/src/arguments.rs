//! Commands, flags, and how much each workload does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::systems::{Peers, System};

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
    /// A short run of ATLAS alone that proves completeness and says nothing about speed
    Smoke(SmokeOptions),
    /// Measure how cost grows; writes plots and tables for the documentation
    Growth(GrowthOptions),
    /// Serve an event log until standard input ends; started by `run`
    #[command(hide = true)]
    Serve(ServeOptions),
    /// Serve a threshold engine until a signal; started by `run`
    #[command(hide = true)]
    ServeEngine(threshold_engine::config::Flags),
    /// Serve framed events from memory until standard input ends; started by `run`
    #[command(hide = true)]
    ServeFrames {
        #[arg(long)]
        events: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SmokeOptions {
    /// A TimescaleDB whose role may create databases; each measurement makes one and drops it
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
}

#[derive(Debug, Args)]
pub(crate) struct GrowthOptions {
    /// Only these; all if absent
    #[arg(value_enum)]
    pub(crate) axes: Vec<Axis>,
    /// A TimescaleDB whose role may create databases; each measurement makes one and drops it
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
    /// Where plots, figures and `performance.md` are
    #[arg(long, value_name = "FOLDER", default_value = "docs")]
    pub(crate) docs: PathBuf,
    /// Small sizes: whether all works, in half a minute
    #[arg(long)]
    pub(crate) quick: bool,
    /// Wait before each measurement until the machine is quiet, at most so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) quiet_wait: Option<u64>,
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Axis {
    Subscribers,
    Stored,
    Chunks,
    Sizes,
    Publishers,
    Collectors,
}

#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// Only these workloads; all if absent
    #[arg(value_enum)]
    pub(crate) workloads: Vec<Workload>,
    /// A TimescaleDB whose role may create databases; each measurement makes one and drops it
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: String,
    /// Only these systems, where they are installed; all if absent
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) systems: Vec<System>,
    #[command(flatten)]
    pub(crate) peers: Peers,
    /// Wait before each measurement until the machine is quiet, at most so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) quiet_wait: Option<u64>,
    /// Small sizes: whether all works
    #[arg(long)]
    pub(crate) quick: bool,
    /// How often each figure is measured; the median counts
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) runs: u32,
    /// How long the stalled reader stalls (default: 60, quick: 2)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) stall_seconds: Option<u64>,
    /// How many points the engine starts over (default: 2,000,000, quick: 40,000)
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100_000_000))]
    pub(crate) engine_start_points: Option<i64>,
    /// Also write the results to this file, if all workloads of all systems were measured in full
    #[arg(long, value_name = "PATH")]
    pub(crate) results: Option<PathBuf>,
}

impl RunOptions {
    /// What gives the same measurement again.
    pub(crate) fn command(&self) -> String {
        let mut command = format!("scripts/bench --runs {}", self.runs);
        if let Some(seconds) = self.quiet_wait {
            command += &format!(" --quiet-wait {seconds}");
        }
        if let Some(seconds) = self.stall_seconds {
            command += &format!(" --stall-seconds {seconds}");
        }
        if let Some(points) = self.engine_start_points {
            command += &format!(" --engine-start-points {points}");
        }
        command
    }

    /// Whether nothing is left out.
    pub(crate) fn is_complete(&self) -> bool {
        self.workloads.is_empty() && self.systems.is_empty() && !self.quick
    }
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
    /// The same while hundreds of readers search what is stored
    BesideSearch,
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
    /// The threshold engine: a backlog, publish to crossing, a cold start
    Engine,
    /// The threshold engine over many points: starts, and crossings while patterns and engines are added
    EngineStart,
    /// What the disk needs to keep a few bytes for good
    Fsync,
    /// A reader that stops reading under full load; the last, for it leaves gigabytes to be written
    Stalled,
}

/// How much each workload does.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    pub(crate) runs: u32,
    pub(crate) warm_up_seconds: u64,
    pub(crate) publish_seconds: u64,
    pub(crate) latency_seconds: u64,
    pub(crate) search_readers: usize,
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
    pub(crate) engine_start_points: i64,
    pub(crate) engine_start_patterns: usize,
}

impl Sizes {
    pub(crate) fn of(options: &RunOptions) -> Self {
        let mut sizes = match options.quick {
            true => Self::quick(),
            false => Self::standard(),
        };
        sizes.runs = options.runs;
        sizes.stall_seconds = options.stall_seconds.unwrap_or(sizes.stall_seconds);
        if let Some(points) = options.engine_start_points {
            sizes.engine_start_points = points;
        }
        sizes
    }

    fn standard() -> Self {
        Self {
            runs: 1,
            warm_up_seconds: 1,
            publish_seconds: 5,
            latency_seconds: 15,
            search_readers: 500,
            fan_out_subscribers: 100,
            fan_out_seconds: 8,
            fan_out_events: 20_000,
            catch_up_events: 300_000,
            page_cost_events: 200_000,
            page_cost_chunks: 200,
            page_cost_pages: 300,
            idle_subscribers: 1_000,
            republish_events: 1_000_000,
            engine_years: 60,
            engine_start_points: 2_000_000,
            engine_start_patterns: 500,
            stall_seconds: 60,
        }
    }

    /// Sizes that every build can afford.
    pub(crate) fn smoke() -> Self {
        Self {
            warm_up_seconds: 0,
            latency_seconds: 1,
            search_readers: 20,
            fan_out_subscribers: 5,
            fan_out_events: 1_000,
            catch_up_events: 5_000,
            page_cost_events: 5_000,
            page_cost_chunks: 6,
            page_cost_pages: 5,
            idle_subscribers: 20,
            republish_events: 2_000,
            engine_start_points: 5_000,
            engine_start_patterns: 10,
            stall_seconds: 1,
            ..Self::quick()
        }
    }

    fn quick() -> Self {
        Self {
            runs: 1,
            warm_up_seconds: 1,
            publish_seconds: 1,
            latency_seconds: 2,
            search_readers: 50,
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
            engine_start_points: 40_000,
            engine_start_patterns: 50,
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
