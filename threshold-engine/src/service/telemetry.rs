//! The engine's share of the metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::PrometheusHandle;
use service::telemetry::MetricsError;

/// First part of the names of the engine's metrics.
pub(super) const METRICS_PREFIX: &str = "thresholdengine";

/// Keeps the metrics of the process, for `/metrics`. Once for each process.
///
/// # Errors
/// [`MetricsError`].
pub fn keep_metrics() -> Result<PrometheusHandle, MetricsError> {
    let handle = service::telemetry::keep_metrics()?;
    describe_metrics();
    Ok(handle)
}

/// Describes the engine's metrics, in a process that keeps them already.
pub fn describe_metrics() {
    service::telemetry::describe(METRICS_PREFIX);
    consumption();
    evaluation();
}

fn consumption() {
    describe_counter!(
        "thresholdengine_events_received_total",
        "Events received, by source"
    );
    describe_counter!(
        "thresholdengine_events_processed_total",
        "Events whose effects are committed, by source"
    );
    describe_counter!(
        "thresholdengine_events_skipped_total",
        "Events that had been processed before, by source"
    );
    describe_counter!(
        "thresholdengine_events_parked_total",
        "Events that could not be processed, by source"
    );
    describe_counter!(
        "thresholdengine_batch_retries_total",
        "Batches that were tried again, by source"
    );
    describe_counter!(
        "thresholdengine_source_reconnects_total",
        "How many times a source was asked again, by source"
    );
    describe_gauge!(
        "thresholdengine_checkpoint_lag_seconds",
        Unit::Seconds,
        "How long ago the moment was up to which everything is processed, by source"
    );
    describe_gauge!(
        "thresholdengine_checkpoint_lag_events",
        "How many positions are still to be processed, by source"
    );
    describe_gauge!(
        "thresholdengine_parked_events",
        "Events that wait for somebody's decision"
    );
}

fn evaluation() {
    describe_counter!("thresholdengine_points_total", "Data points taken in");
    describe_counter!(
        "thresholdengine_emissions_total",
        "Crossings and transitions told, by direction"
    );
    describe_counter!(
        "thresholdengine_emissions_too_old_total",
        "Crossings and transitions that were not told, as they are older than the log keeps"
    );
    describe_histogram!(
        "thresholdengine_evaluation_seconds",
        Unit::Seconds,
        "How long the patterns took over the points of a batch"
    );
    describe_histogram!(
        "thresholdengine_publish_to_crossing_seconds",
        Unit::Seconds,
        "From the storage of an event until what it brings about is told"
    );
    describe_histogram!(
        "thresholdengine_rebuild_seconds",
        Unit::Seconds,
        "How long it took to make the memory of the database"
    );
    describe_gauge!("thresholdengine_patterns", "Patterns at work");
    describe_gauge!(
        "thresholdengine_definition_mistakes",
        "Mistakes in the files of definitions"
    );
}
