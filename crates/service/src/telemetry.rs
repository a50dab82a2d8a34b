//! What the process tells about itself: log lines, traces and metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub use crate::{
    logs::begin,
    traces::{Traces, TracesError},
};

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
    Ok(handle)
}

/// Describes the metrics of a service that its log, its streams and its REST keep. `prefix` is the
/// first part of their names.
pub fn describe(prefix: &str) {
    describe_log();
    crate::traces::describe();
    describe_gauge!(
        format!("{prefix}_grpc_subscriptions"),
        "Open subscriptions and range reads"
    );
    describe_histogram!(
        format!("{prefix}_grpc_streaming_latency_seconds"),
        Unit::Seconds,
        "From an event's storage until it is handed to a subscriber's connection"
    );
    describe_gauge!(
        format!("{prefix}_consumer_lag_events"),
        "Events stored that a named consumer has not been sent"
    );
    describe_counter!(
        format!("{prefix}_publish_refused_total"),
        "Publishes over gRPC that were refused, by reason"
    );
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

fn describe_log() {
    describe_histogram!(
        "event_log_append_seconds",
        Unit::Seconds,
        "From taking up a group of events until it is durable"
    );
    describe_histogram!(
        "event_log_group_events",
        Unit::Count,
        "Events stored by one transaction"
    );
    describe_counter!(
        "event_log_appended_events_total",
        "Events stored by the appender of this process"
    );
    describe_counter!(
        "event_log_duplicate_events_total",
        "Events published again that the log held already"
    );
    describe_counter!(
        "event_log_ring_reads_total",
        "Reads of subscriptions that memory answered"
    );
    describe_counter!(
        "event_log_database_reads_total",
        "Reads of subscriptions that the database answered, since they are behind"
    );
}
