//! Help texts of the metrics.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(super) fn describe() {
    log();
    streams();
    sources();
    rest();
}

fn log() {
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

fn streams() {
    describe_counter!(
        "fredcollector_events_published_total",
        "Events stored by this process, published or collected"
    );
    describe_gauge!(
        "fredcollector_grpc_subscriptions",
        "Open subscriptions and range reads"
    );
    describe_histogram!(
        "fredcollector_grpc_streaming_latency_seconds",
        Unit::Seconds,
        "From an event's storage until it is handed to a subscriber's connection"
    );
    describe_gauge!(
        "fredcollector_consumer_lag_events",
        "Events stored that a named consumer has not been sent"
    );
    describe_counter!(
        "fredcollector_publish_refused_total",
        "Publishes over gRPC that were refused, by reason"
    );
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
        "How long a request waited for its turn"
    );
    describe_gauge!(
        "fredcollector_source_circuit_state",
        "Whether a source is asked: 0 yes, 1 one request to try, 2 no"
    );
    describe_gauge!(
        "fredcollector_source_seconds_since_last_success",
        Unit::Seconds,
        "How long no collection from a source has succeeded"
    );
}

fn rest() {
    describe_counter!(
        "fredcollector_rest_requests_total",
        "REST requests, by method, route and status"
    );
    describe_histogram!(
        "fredcollector_rest_request_seconds",
        Unit::Seconds,
        "From a REST request to its answer, by route"
    );
}
