//! `fred-stand-in`: serves the committed series as FRED would.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use chrono::NaiveDate;
use clap::Parser;
use fred_stand_in::{RateLimit, StandIn};

/// A stand-in for FRED: answers in FRED's shapes from public-domain series.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where to serve; port 0 takes a free one. The base URL is printed.
    #[arg(long, default_value = "127.0.0.1:8085")]
    listen: SocketAddr,
    /// Only these of the committed series.
    #[arg(long, value_delimiter = ',')]
    series: Vec<String>,
    /// Release a held-back observation after each such time, such as 2s or 500ms.
    #[arg(long, value_parser = duration)]
    release_every: Option<Duration>,
    /// How many of each series' newest observations to hold back.
    #[arg(
        long,
        default_value_t = 0,
        default_value_if("release_every", clap::builder::ArgPredicate::IsPresent, "60")
    )]
    hold_back: usize,
    /// The day on which to begin, instead of the real one (YYYY-MM-DD).
    #[arg(long)]
    today: Option<NaiveDate>,
    /// The only keys to accept, instead of any that looks like one.
    #[arg(long, value_delimiter = ',')]
    registered_keys: Vec<String>,
    /// Answer any number of requests, instead of 2 a second and 120 a minute for a key.
    #[arg(long)]
    no_rate_limit: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::Level::INFO.into())
                .from_env_lossy(),
        )
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;

    let mut builder = StandIn::builder()
        .rate_limit((!arguments.no_rate_limit).then(RateLimit::default))
        .hold_back(arguments.hold_back);
    if !arguments.series.is_empty() {
        builder = builder.series(arguments.series);
    }
    if !arguments.registered_keys.is_empty() {
        builder = builder.registered_keys(arguments.registered_keys);
    }
    if let Some(today) = arguments.today {
        builder = builder.today(today);
    }
    if let Some(interval) = arguments.release_every {
        builder = builder.release_every(interval);
    }
    let stand_in = builder.start(listener)?;
    writeln!(std::io::stdout(), "{}", stand_in.base_url())?;

    stopped_by_the_user().await?;
    stand_in.stop().await;
    Ok(())
}

/// Ends on SIGINT (Ctrl-C) and SIGTERM.
async fn stopped_by_the_user() -> anyhow::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot watch for SIGTERM")?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot watch for Ctrl-C")?,
        _ = terminated.recv() => {}
    }
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` does not begin with a number"))?;
    let millis = match unit {
        "ms" => number,
        "s" => number.saturating_mul(1_000),
        "m" => number.saturating_mul(60_000),
        _ => return Err(format!("`{unit}` is not a unit; known are ms, s and m")),
    };
    if millis == 0 {
        return Err("a time of zero is too short".to_owned());
    }
    Ok(Duration::from_millis(millis))
}
