//! The command line.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

use crate::backtest::{self, AsKnown, BacktestResult};
use crate::check::check;
use crate::config::Flags;
use crate::library::Library;
use crate::service::run_program;

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
    /// Consumes logs, evaluates patterns and serves what they tell; this is also done without a
    /// command.
    Serve(Flags),
    /// Reads the definitions of a folder and runs the tests that stand in them.
    Check {
        /// Folder with patterns and regimes.
        folder: PathBuf,
    },
    /// Plays observations through patterns and shows what would have fired, and when.
    Backtest(BacktestOptions),
}

#[derive(Debug, Args)]
struct BacktestOptions {
    /// Folder with patterns and regimes.
    #[arg(long)]
    patterns: PathBuf,
    /// Folder with one CSV file for each series.
    #[arg(long)]
    csv: PathBuf,
    /// First date shown; what lies before fills windows.
    #[arg(long, default_value = "1900-01-01")]
    from: NaiveDate,
    /// Last date played.
    #[arg(long, default_value = "9999-12-31")]
    to: NaiveDate,
    /// Every vintage when it became known, or the newest ones only.
    #[arg(long, value_enum, default_value = "now")]
    as_known: AsKnown,
    /// Folder for report.html, result.json, crossings.csv, spells.csv, transitions.csv.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Does what is asked for. Failure: definitions have mistakes, or their tests fail.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut output = io::BufWriter::new(io::stdout());
    let good = match arguments.command {
        None => return run_program(&arguments.flags),
        Some(Command::Serve(flags)) => return run_program(&flags),
        Some(Command::Check { folder }) => run_check(&folder, &mut output)?,
        Some(Command::Backtest(options)) => run_backtest(&options, &mut output)?,
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
    for mistake in &mistakes {
        writeln!(output, "{mistake}")?;
    }
    let results = check(&library);
    let mut failed = 0;
    for result in &results {
        if let Some(failure) = &result.failure {
            failed += 1;
            let (file, line) = (result.file.display(), result.line);
            writeln!(output, "{file}:{line}: {}: {failure}", result.case)?;
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

fn run_backtest(options: &BacktestOptions, output: &mut impl Write) -> anyhow::Result<bool> {
    let (library, mistakes) = Library::load(&options.patterns);
    for mistake in &mistakes {
        writeln!(output, "{mistake}")?;
    }
    let points = backtest::read_folder(&options.csv, &series_of(&library))?;
    let bar = ProgressBar::new(points.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "{elapsed} {wide_bar} {human_pos} of {human_len} points, {eta} left",
    )?);
    let what = backtest::Options {
        from: options.from,
        to: options.to,
        as_known: options.as_known,
    };
    let result = backtest::run(&library, points, what, |played, of| {
        bar.set_length(of as u64);
        bar.set_position(played as u64);
    });
    bar.finish_and_clear();
    print_result(&result, output)?;
    if let Some(folder) = &options.out {
        let written = backtest::write_all(&result, folder);
        written.with_context(|| format!("writing to {}", folder.display()))?;
        let report = folder.join("report.html");
        writeln!(output, "report: {}", report.display())?;
    }
    Ok(mistakes.is_empty())
}

fn series_of(library: &Library) -> BTreeSet<String> {
    let patterns = library.patterns.iter().flat_map(|p| p.program.inputs());
    let regimes = library.regimes.iter().flat_map(|r| r.program.inputs());
    let inputs = patterns.chain(regimes);
    inputs.map(|input| input.series.clone()).collect()
}

fn print_result(result: &BacktestResult, output: &mut impl Write) -> io::Result<()> {
    for crossing in result.patterns.iter().flat_map(|p| &p.crossings) {
        let (date, pattern) = (crossing.date, &crossing.pattern);
        writeln!(output, "{date} {pattern}: {}", crossing.message)?;
    }
    for transition in result.regimes.iter().flat_map(|r| &r.transitions) {
        let fell = if transition.stands {
            ""
        } else {
            " did not happen after all"
        };
        writeln!(
            output,
            "{} {}: {} to {}{fell}",
            transition.since, transition.model, transition.from, transition.to
        )?;
    }
    let silent = result.patterns.iter().filter(|p| p.crossings.is_empty());
    writeln!(
        output,
        "{} points; {} patterns, {} of them silent; {} regimes",
        result.points,
        result.patterns.len(),
        silent.count(),
        result.regimes.len()
    )
}
