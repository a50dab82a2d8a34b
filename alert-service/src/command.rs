//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    config::Flags,
    service::{ask_health, renew_log, run_program},
};

/// Notifies people of crossings and transitions.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Consumes logs, sends messages and serves; this is also done without a command.
    Serve(Flags),
    /// Asks the alert service that runs with this configuration whether it is ready.
    Health(Flags),
    /// Gives the service's own log a new identity, after a restore from which events are missing that
    /// readers may have seen; no alert service may run meanwhile.
    NewLogId(Flags),
}

/// Runs a command.
///
/// # Errors
/// The system gives no threads, or standard output is closed.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        None => run_program(&arguments.flags),
        Some(Command::Serve(flags)) => run_program(&flags),
        Some(Command::Health(flags)) => Ok(ask_health(&flags)),
        Some(Command::NewLogId(flags)) => renew_log(&flags),
    }
}
