//! What the process tells about itself: log lines, traces and metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use crate::{
    logs::begin,
    traces::{Traces, TracesError},
};

/// Upper bounds of times, in seconds: from what a read from memory takes to what nobody waits for.
const SECONDS_BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
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

/// Keeps the metrics of the process, for `/metrics`. Once for each process.
///
/// # Errors
/// [`MetricsError`].
pub fn keep_metrics() -> Result<PrometheusHandle, MetricsError> {
    let events = Matcher::Suffix("_events".to_owned());
    let recorder = PrometheusBuilder::new()
        .set_buckets(&SECONDS_BUCKETS)?
        .set_buckets_for_metric(events, &EVENTS_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Installed)?;
    Ok(handle)
}

/// Describes the metrics that every service keeps: those of its process, its log and
/// its REST. `prefix` is the first part of the names of its own.
pub fn describe(prefix: &str, version: &'static str) {
    metrics_process::Collector::default().describe();
    event_log::describe_metrics();
    crate::traces::describe();
    crate::security::describe(prefix);
    describe_gauge!(
        format!("{prefix}_build_info"),
        "Always 1; the label tells the version of the service"
    );
    gauge!(format!("{prefix}_build_info"), "version" => version).set(1.0);
    describe_counter!(
        format!("{prefix}_rest_requests_total"),
        "REST requests, by method, route and status"
    );
    describe_histogram!(
        format!("{prefix}_rest_request_seconds"),
        Unit::Seconds,
        "From a REST request to its answer, by route"
    );
}
