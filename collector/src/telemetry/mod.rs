//! What the process tells about itself: log lines and metrics.

mod descriptions;
mod published;

use std::io::IsTerminal;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, util::SubscriberInitExt};

use crate::config::{LogFormat, TelemetryConfig};

pub(crate) use published::CountPublished;

/// First part of the names of the collector's metrics.
pub(crate) const METRICS_PREFIX: &str = "fredcollector";

/// Upper bounds of times, in seconds: from what a read from memory takes to what nobody waits for.
const SECONDS_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper bounds of numbers of events.
const EVENTS_BUCKETS: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0,
];

/// Why metrics cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The buckets are not usable.
    #[error("metrics cannot be set up: {0}")]
    Build(#[from] BuildError),
    /// The process keeps metrics elsewhere already.
    #[error("metrics are kept elsewhere already")]
    Installed,
}

/// Has log lines written to standard error. No effect if the process writes them elsewhere already.
pub fn write_log_lines(config: &TelemetryConfig) {
    let filter = EnvFilter::builder().parse_lossy(&config.filter);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let written = match config.format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    if let Err(error) = written {
        tracing::debug!(%error, "log lines are written by the process that this runs in");
    }
}

/// Keeps the metrics of the process, for `/metrics`. Once for each process.
///
/// # Errors
/// [`MetricsError`].
pub fn keep_metrics() -> Result<PrometheusHandle, MetricsError> {
    let events = Matcher::Full("event_log_group_events".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets(&SECONDS_BUCKETS)?
        .set_buckets_for_metric(events, &EVENTS_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Installed)?;
    descriptions::describe();
    Ok(handle)
}
