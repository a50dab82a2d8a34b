//! `threshold-engine backtest`: where observations come from, and where the result goes.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use chrono::NaiveDate;
use clap::{ArgGroup, Args};
use consumer::Source;
use event_log::{EventLog, LogConfig};
use indicatif::{ProgressBar, ProgressStyle};
use service::visible;

use super::{print::print_result, print_mistakes};

use crate::backtest::{self, AsKnown, Catalogue, CatalogueError, StoredPoints};
use crate::library::Library;
use evaluation::series::Point;

/// The name of the log, as the engine has it where its configuration gives none.
const SOURCE: &str = "collector";
const CONNECTIONS_MAX: u32 = 2;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("observations").required(true).args(["csv", "source", "schema"])))]
pub(super) struct BacktestOptions {
    /// Folder with patterns and regimes.
    #[arg(long)]
    patterns: PathBuf,
    /// Folder with CSV or Parquet files of one or more series.
    #[arg(long, value_name = "FOLDER")]
    csv: Option<PathBuf>,
    /// A log that is served, such as http://127.0.0.1:5001.
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Schema of a log, such as collector, in the database of --database-url; nothing has to serve it.
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
    /// The database of --schema.
    #[arg(
        long,
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        default_value = ""
    )]
    database_url: String,
    /// First date shown; what lies before fills windows.
    #[arg(long, default_value = "1900-01-01")]
    from: NaiveDate,
    /// Last date played.
    #[arg(long, default_value = "9999-12-31")]
    to: NaiveDate,
    /// Every vintage when it became known; every point as the log stored it, as the engine that
    /// consumed it emitted; or the newest vintages only.
    #[arg(long, value_enum, default_value = "now")]
    as_known: AsKnown,
    /// JSON list of series with id and title; one that says how it was generated is marked as a
    /// look-alike. Of a folder its catalogue.json is read.
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// Folder for report.html, result.json, crossings.csv, spells.csv, transitions.csv.
    #[arg(long)]
    out: Option<PathBuf>,
}

pub(super) fn run(options: &BacktestOptions, output: &mut impl Write) -> anyhow::Result<bool> {
    let (library, mistakes) = Library::load(&options.patterns);
    print_mistakes(&mistakes, output)?;
    let catalogue = catalogue(options)?;
    // Recessions are shown where they are known.
    let mut wanted = library.series();
    wanted.insert(backtest::RECESSIONS.to_owned());
    let points = points(options, &wanted, output)?;
    let bar = bar("points")?;
    let what = backtest::Options {
        from: options.from,
        to: options.to,
        as_known: options.as_known,
    };
    let mut result = backtest::run(&library, points, what, |played, of| {
        show(&bar, played as u64, of as u64);
    });
    bar.finish_and_clear();
    result.describe(&catalogue);
    print_result(&result, output)?;
    if let Some(folder) = &options.out {
        let written = backtest::write_all(&result, folder);
        written.with_context(|| format!("writing to {}", folder.display()))?;
        let report = folder.join("report.html");
        writeln!(output, "report: {}", report.display())?;
    }
    Ok(mistakes.is_empty())
}

fn catalogue(options: &BacktestOptions) -> Result<Catalogue, CatalogueError> {
    match (&options.catalogue, &options.csv) {
        (Some(file), _) => Catalogue::read(file),
        (None, Some(folder)) => Catalogue::of_folder(folder),
        (None, None) => Ok(Catalogue::default()),
    }
}

/// On a terminal only, as the library does it.
fn bar(what: &str) -> anyhow::Result<ProgressBar> {
    let bar = ProgressBar::no_length();
    let template =
        format!("{{elapsed}} {{wide_bar}} {{human_pos}} of {{human_len}} {what}, {{eta}} left");
    bar.set_style(ProgressStyle::with_template(&template)?);
    Ok(bar)
}

fn show(bar: &ProgressBar, done: u64, of: u64) {
    bar.set_length(of);
    bar.set_position(done);
}

fn points(
    options: &BacktestOptions,
    wanted: &BTreeSet<String>,
    output: &mut impl Write,
) -> anyhow::Result<Vec<Point>> {
    if let Some(folder) = &options.csv {
        return Ok(backtest::read_folder(folder, wanted)?);
    }
    let stored = read_stored(options, wanted)?;
    for unreadable in &stored.unreadable {
        let (position, reason) = (unreadable.position, &unreadable.reason);
        let message = format!("left out: the event at position {position}: {reason}");
        writeln!(output, "{}", visible(&message))?;
    }
    Ok(stored.points)
}

#[tokio::main]
async fn read_stored(
    options: &BacktestOptions,
    wanted: &BTreeSet<String>,
) -> anyhow::Result<StoredPoints> {
    // With one installed already there is nothing to do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let bar = bar("positions")?;
    let progress = |position, last| show(&bar, position, last);
    let stored = match (&options.source, &options.schema) {
        (Some(url), _) => {
            let source = Source::grpc(SOURCE, url)?;
            backtest::read_log(source, wanted, progress).await?
        }
        (None, schema) => {
            let schema = schema.as_deref().unwrap_or(SOURCE);
            let log = open_log(&options.database_url, schema).await?;
            let source = Source::in_process(SOURCE, log.clone());
            let stored = backtest::read_log(source, wanted, progress).await;
            log.close().await;
            stored?
        }
    };
    bar.finish_and_clear();
    Ok(stored)
}

/// A log that is there: where there is none, none is to be made.
async fn open_log(database_url: &str, schema: &str) -> anyhow::Result<EventLog> {
    if database_url.is_empty() {
        bail!("--schema needs --database-url, or DATABASE_URL in the environment");
    }
    let found = event_log::holds_log(database_url, schema).await;
    if !found.context("looking for the log in the database")? {
        bail!("schema {schema} holds no log");
    }
    let pool = event_log::connect(database_url, schema, CONNECTIONS_MAX).await?;
    // A reader removes nothing.
    let config = LogConfig {
        retention: None,
        ..LogConfig::default()
    };
    Ok(EventLog::open(pool, config, None).await?)
}
