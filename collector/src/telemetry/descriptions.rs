//! Help texts of the collector's own metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(super) fn describe() {
    describe_counter!(
        "fredcollector_events_published_total",
        "Events stored by this process, published or collected, counted after their commit"
    );
    sources();
}

fn sources() {
    describe_counter!(
        "fredcollector_collections_total",
        "Collections of a series, by source and outcome"
    );
    describe_counter!(
        "fredcollector_source_requests_total",
        "Requests to a source, by outcome"
    );
    describe_counter!(
        "fredcollector_source_errors_total",
        "Requests to a source that failed, by code"
    );
    describe_histogram!(
        "fredcollector_source_pacing_wait_seconds",
        Unit::Seconds,
        "How long a request waited for the rate limit"
    );
    describe_histogram!(
        "fredcollector_source_request_seconds",
        Unit::Seconds,
        "How long a source took to answer a request"
    );
    describe_counter!(
        "fredcollector_data_points_total",
        "Values stored that were new or revised, by source"
    );
    describe_counter!(
        "fredcollector_metadata_changes_total",
        "Changes of a series' description by its source: title, units, frequency"
    );
    describe_gauge!(
        "fredcollector_source_series",
        "Series of a source: active or paused; of the active ones those whose last collection \
         failed, and those that have been due for more than ten minutes"
    );
    describe_gauge!(
        "fredcollector_source_circuit_state",
        "Circuit breaker of a source: 0 closed, 1 half open, 2 open"
    );
    describe_gauge!(
        "fredcollector_source_since_last_success_seconds",
        Unit::Seconds,
        "How long no collection from a source has succeeded"
    );
}
