//! The engine's share of the metrics.

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use service::telemetry::Metrics;
use service::telemetry::MetricsError;

use crate::Engine;

/// First part of the names of the engine's metrics.
pub(super) const METRICS_PREFIX: &str = "thresholdengine";

/// What a pattern can be.
const PATTERN_STATES: [&str; 6] = [
    "normal",
    "pending",
    "active",
    "recovering",
    "no_data",
    NOT_EVALUATED,
];
const NOT_EVALUATED: &str = "not_evaluated";
/// What is emitted about a pattern or a regime.
const DIRECTIONS: [&str; 7] = [
    "entered",
    "cleared",
    "no_data",
    "data",
    "revised",
    "transition",
    "definition",
];

/// Keeps the metrics of the process, for `/metrics`. Once for each process.
///
/// # Errors
/// [`MetricsError`].
pub fn keep_metrics() -> Result<Metrics, MetricsError> {
    let handle = service::telemetry::keep_metrics()?;
    describe_metrics();
    Ok(handle)
}

/// Describes the engine's metrics, in a process that keeps them already.
pub fn describe_metrics() {
    service::telemetry::describe(METRICS_PREFIX, env!("CARGO_PKG_VERSION"));
    consumer::describe_metrics(METRICS_PREFIX);
    evaluation();
    definitions();
}

/// Has the metrics of evaluation be there, with 0, from the start.
pub(super) fn prepare() {
    for direction in DIRECTIONS {
        counter!("thresholdengine_emissions_total", "direction" => direction).increment(0);
    }
    for name in [
        "thresholdengine_points_total",
        "thresholdengine_evaluations_total",
        "thresholdengine_emissions_too_old_total",
        "thresholdengine_passed_days_total",
    ] {
        counter!(name).increment(0);
    }
    for name in [
        "thresholdengine_evaluation_seconds",
        "thresholdengine_publish_to_crossing_seconds",
        "thresholdengine_rebuild_seconds",
        "thresholdengine_snapshot_seconds",
    ] {
        let _ = histogram!(name);
    }
}

/// Reports how many patterns are in which state.
pub(super) fn record_patterns(engine: &Engine) {
    let patterns = engine.patterns();
    gauge!("thresholdengine_patterns").set(patterns.len() as f64);
    let mut counts = [0_u32; PATTERN_STATES.len()];
    for run in patterns {
        let shown = match run.steps().last() {
            Some(step) if step.state.no_data => "no_data",
            Some(step) => step.state.phase.name(),
            None => NOT_EVALUATED,
        };
        let mut states = PATTERN_STATES.iter().zip(&mut counts);
        if let Some((_, count)) = states.find(|(state, _)| **state == shown) {
            *count += 1;
        }
    }
    for (state, count) in PATTERN_STATES.into_iter().zip(counts) {
        gauge!("thresholdengine_pattern_states", "state" => state).set(f64::from(count));
    }
}

fn evaluation() {
    describe_counter!("thresholdengine_points_total", "Data points processed");
    describe_counter!(
        "thresholdengine_evaluations_total",
        "Evaluations of a pattern's condition caused by data points"
    );
    describe_counter!(
        "thresholdengine_emissions_total",
        "Crossings and transitions emitted, by direction, counted after their commit"
    );
    describe_counter!(
        "thresholdengine_emissions_too_old_total",
        "Crossings and transitions that were not emitted, as they are older than the log keeps"
    );
    describe_counter!(
        "thresholdengine_passed_days_total",
        "Days that have passed and were recorded by this process, while a definition is evaluated daily"
    );
    describe_histogram!(
        "thresholdengine_evaluation_seconds",
        Unit::Seconds,
        "How long the patterns took over the points of a batch"
    );
    describe_histogram!(
        "thresholdengine_publish_to_crossing_seconds",
        Unit::Seconds,
        "From the storage of an event until the crossings that follow from it are emitted"
    );
    describe_histogram!(
        "thresholdengine_rebuild_seconds",
        Unit::Seconds,
        "How long it took to rebuild the memory from the database"
    );
    describe_histogram!(
        "thresholdengine_snapshot_seconds",
        Unit::Seconds,
        "How long it took to store the state of the memory"
    );
    describe_gauge!(
        "thresholdengine_snapshot_complete_timestamp_seconds",
        Unit::Seconds,
        "When the newest snapshot last had everything that was evaluated, in Unix time; at first when the process began to look"
    );
}

fn definitions() {
    describe_gauge!("thresholdengine_patterns", "Running patterns");
    describe_gauge!(
        "thresholdengine_pattern_states",
        "Running patterns, by the state they are in as of their newest observation"
    );
    describe_gauge!(
        "thresholdengine_definition_mistakes",
        "Mistakes in the files of definitions"
    );
    describe_gauge!(
        "thresholdengine_suspended_definitions",
        "Definitions that are not evaluated because their evaluation failed"
    );
    describe_gauge!(
        "thresholdengine_definition_conflicts",
        "Definitions that differ from the files of another engine of the same database"
    );
}
