//! The collector's own metrics.

mod descriptions;
mod published;
mod sources;

pub(crate) use published::CountPublished;
pub use service::telemetry::{Metrics, MetricsError};
pub(crate) use sources::{prepare, report_state};

/// First part of the names of the collector's metrics.
pub(crate) const METRICS_PREFIX: &str = "fredcollector";

/// Keeps the metrics of the process, for `/metrics`. Once for each process.
///
/// # Errors
/// [`MetricsError`].
pub fn keep_metrics() -> Result<Metrics, MetricsError> {
    let handle = service::telemetry::keep_metrics()?;
    describe_metrics();
    Ok(handle)
}

/// Describes the collector's metrics, in a process that keeps them already.
pub fn describe_metrics() {
    service::telemetry::describe(METRICS_PREFIX, env!("CARGO_PKG_VERSION"));
    descriptions::describe();
}
