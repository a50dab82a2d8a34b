//! The command line.

mod backtest;
mod checkpoint;
mod print;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use service::{ServiceCommand, config::ServiceFlags, counted, visible};

use self::{backtest::BacktestOptions, checkpoint::CheckpointOptions};
use crate::check::check;
use crate::config::Flags;
use crate::definition::LoadError;
use crate::library::Library;
use crate::service::Service;

#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Service(ServiceCommand<Flags>),
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

/// Does what the arguments of the process ask for. Failure: definitions have mistakes, or their tests
/// fail.
///
/// # Errors
/// Files cannot be read or written, or standard output is closed.
pub fn run() -> anyhow::Result<ExitCode> {
    let matches = service::described::<Service>(Arguments::command()).get_matches();
    let Arguments { command, flags } =
        Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let mut output = io::BufWriter::new(io::stdout());
    let good = match command {
        None => return Ok(service::run::<Service>(&flags, None)),
        Some(Command::Service(command)) => {
            return Ok(service::run::<Service>(&flags, Some(&command)));
        }
        Some(Command::Checkpoint(options)) => return checkpoint::run(&flags, &options),
        Some(Command::Check { .. } | Command::Backtest(_)) if flags.any() => {
            let problem =
                "the flags before this command are those of the service, which it does not run";
            Arguments::command()
                .error(ErrorKind::ArgumentConflict, problem)
                .exit()
        }
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
        "{}, {}, {}, {failed} failed, {} with mistakes",
        counted(library.patterns.len(), "pattern"),
        counted(library.regimes.len(), "regime"),
        counted(results.len(), "test"),
        counted(mistakes.len(), "file")
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
