use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Collects observations into an event log on TimescaleDB and serves it over gRPC and REST.
///
/// Every setting has a place in the TOML file, a name in the environment (port in section grpc is
/// GRPC__PORT) and can be given as --set grpc.port=5001; flags win over the environment, and that
/// over the file. collector.example.toml lists them all.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "collector", version)]
pub struct Flags {
    /// Configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE", env = "COLLECTOR_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where to serve REST, such as 127.0.0.1:5000.
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub rest: Option<String>,
    /// Where to serve gRPC, such as 127.0.0.1:5001.
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub grpc: Option<String>,
    /// Series to collect, such as UNRATE,VIXCLS.
    #[arg(long, global = true, value_name = "IDS")]
    pub series: Option<String>,
    /// How far back first collections reach: 24mo, a date, or all.
    #[arg(long, global = true, value_name = "BACKFILL")]
    pub backfill: Option<String>,
    /// Any setting by its key.
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the configuration, without secrets, and end.
    #[arg(long, global = true)]
    pub print_config: bool,
    /// What to do in place of running.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do in place of running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Ask the collector that runs with this configuration whether it is ready.
    Health,
    /// Give the log a new identity, after a restore from which events are missing that readers may
    /// have seen; no collector may run meanwhile.
    NewLogId,
}
