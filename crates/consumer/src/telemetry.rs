//! What the metrics of a consumer mean.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes the metrics of a consumer to the recorder of the process. `prefix` is that of
/// [`crate::ConsumerConfig`].
pub fn describe_metrics(prefix: &str) {
    describe_events(prefix);
    describe_batches(prefix);
    describe_lag(prefix);
}

fn describe_events(prefix: &str) {
    describe_counter!(
        format!("{prefix}_events_received_total"),
        "Events received, by source"
    );
    describe_counter!(
        format!("{prefix}_events_processed_total"),
        "Events whose effects are committed, by source"
    );
    describe_counter!(
        format!("{prefix}_events_skipped_total"),
        "Events that had been processed before, by source"
    );
    describe_counter!(
        format!("{prefix}_events_parked_total"),
        "Events that could not be processed, by source"
    );
    describe_gauge!(
        format!("{prefix}_parked_events"),
        "Parked events: an operator has to retry or discard them"
    );
}

fn describe_batches(prefix: &str) {
    describe_histogram!(
        format!("{prefix}_batch_seconds"),
        Unit::Seconds,
        "How long the transaction that processed a batch took, by source"
    );
    describe_histogram!(
        format!("{prefix}_batch_events"),
        Unit::Count,
        "Events processed by one transaction, by source"
    );
    describe_histogram!(
        format!("{prefix}_publish_to_processed_seconds"),
        Unit::Seconds,
        "From the storage of the oldest event of a batch until its effects are committed, by source"
    );
    describe_counter!(
        format!("{prefix}_batch_retries_total"),
        "Batches that were tried again, by source"
    );
}

fn describe_lag(prefix: &str) {
    describe_gauge!(
        format!("{prefix}_checkpoint_lag_seconds"),
        Unit::Seconds,
        "Age of the newest moment up to which everything is processed, by source"
    );
    describe_gauge!(
        format!("{prefix}_checkpoint_lag_events"),
        "How many positions are still to be processed, by source"
    );
    describe_gauge!(
        format!("{prefix}_source_connected"),
        "Whether events are being received: 1 yes, 0 no, by source"
    );
    describe_gauge!(
        format!("{prefix}_source_stopped"),
        "Whether consumption is stopped until an operator resets the checkpoint: 1 yes, 0 no, by source"
    );
    describe_counter!(
        format!("{prefix}_source_reconnects_total"),
        "Reconnections to a source, by source"
    );
}
