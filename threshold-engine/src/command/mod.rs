//! The command line.

mod backtest;
mod checkpoint;
mod print;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::{backtest::BacktestOptions, checkpoint::CheckpointOptions};
use service::visible;

use crate::check::check;
use crate::config::Flags;
use crate::definition::LoadError;
use crate::library::Library;
use crate::service::{ask_health, renew_log, run_program};

/// Evaluates patterns over series of observations.
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
    /// Consumes logs, evaluates patterns and serves the events that they emit; the default
    /// command.
    Serve(Flags),
    /// Asks the engine that runs with this configuration whether it is ready.
    Health(Flags),
    /// Gives the engine's own log a new identity, after a restore from which events are missing that
    /// readers may have seen; no engine may run meanwhile.
    NewLogId(Flags),
    /// Lists the checkpoints in the source logs, or resets them and lets a stopped engine continue.
    Checkpoint(CheckpointOptions),
    /// Reads the definitions of a folder and runs the tests that stand in them.
    Check {
        /// Folder with patterns and regimes.
        folder: PathBuf,
    },
    /// Plays the observations of files, of a collector's log over gRPC, or of one in a database
    /// through patterns, and shows what would have fired, and when.
    Backtest(BacktestOptions),
}

/// Does what is asked for. Failure: definitions have mistakes, or their tests fail.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut output = io::BufWriter::new(io::stdout());
    let good = match arguments.command {
        None => return run_program(&arguments.flags),
        Some(Command::Serve(flags)) => return run_program(&flags),
        Some(Command::Health(flags)) => return Ok(ask_health(&flags)),
        Some(Command::NewLogId(flags)) => return renew_log(&flags),
        Some(Command::Checkpoint(options)) => return checkpoint::run(&options),
        Some(Command::Check { folder }) => run_check(&folder, &mut output)?,
        Some(Command::Backtest(options)) => backtest::run(&options, &mut output)?,
    };
    output.flush()?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_check(folder: &Path, output: &mut impl Write) -> anyhow::Result<bool> {
    let (library, mistakes) = Library::load(folder);
    print_mistakes(&mistakes, output)?;
    let results = check(&library);
    let mut failed = 0;
    for result in &results {
        if let Some(failure) = &result.failure {
            failed += 1;
            let (file, line) = (result.file.display(), result.line);
            let message = format!("{file}:{line}: {}: {failure}", result.case);
            writeln!(output, "{}", visible(&message))?;
        }
    }
    writeln!(
        output,
        "{} patterns, {} regimes, {} tests, {failed} failed, {} files with mistakes",
        library.patterns.len(),
        library.regimes.len(),
        results.len(),
        mistakes.len()
    )?;
    Ok(failed == 0 && mistakes.is_empty())
}

/// Each with its place in the file.
fn print_mistakes(mistakes: &[LoadError], output: &mut impl Write) -> io::Result<()> {
    for mistake in mistakes {
        for line in format!("{mistake:#}").lines() {
            writeln!(output, "{}", visible(line))?;
        }
    }
    Ok(())
}
