//! Metrics of the gRPC services of a log. The first part of every name is the service's.

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    histogram,
};

/// Refusals that are there, with 0, from the start, so that the first one shows as an increase.
const REFUSALS: [(&str, &str); 15] = [
    ("Publish", "INVALID_ARGUMENT"),
    ("Publish", "BATCH_TOO_LARGE"),
    ("Publish", "MESSAGE_TOO_LARGE"),
    ("Publish", "MESSAGE_TIMED_OUT"),
    ("Publish", "TOO_MANY_BYTES"),
    ("Publish", "OVERLOADED"),
    ("Publish", "OUTCOME_UNKNOWN"),
    ("Publish", "NOT_STORED"),
    ("Publish", "REFUSED_BY_DATABASE"),
    ("SubscribeToEvents", "INVALID_ARGUMENT"),
    ("SubscribeToEvents", "TRIMMED"),
    ("SubscribeToEvents", "TOO_MANY_STREAMS"),
    ("SubscribeToEvents", "DATABASE_UNAVAILABLE"),
    ("Watch", "TOO_MANY_STREAMS"),
    ("ServerReflectionInfo", "TOO_MANY_STREAMS"),
];
/// How subscriptions end, there with 0 from the start.
const ENDS: [&str; 4] = [
    ENDED_BY_CLIENT,
    "SHUTTING_DOWN",
    "STREAM_AGE",
    "TOO_MANY_BYTES",
];
/// The client went away, or is not to be reached.
pub(crate) const ENDED_BY_CLIENT: &str = "CLIENT";

/// The metrics of a server, less those of its consumers.
#[derive(Debug)]
pub(crate) struct StreamMetrics {
    prefix: String,
    pub(crate) latency: Histogram,
    pub(crate) publish_seconds: Histogram,
    sent_events: Counter,
    sent_bytes: Counter,
}

impl StreamMetrics {
    pub(crate) fn new(prefix: &str) -> Self {
        let metrics = Self {
            prefix: prefix.to_owned(),
            latency: histogram!(format!("{prefix}_grpc_streaming_latency_seconds")),
            publish_seconds: histogram!(format!("{prefix}_publish_seconds")),
            sent_events: counter!(format!("{prefix}_grpc_sent_events_total")),
            sent_bytes: counter!(format!("{prefix}_grpc_sent_bytes_total")),
        };
        for (method, reason) in REFUSALS {
            metrics.refusals(method, reason).increment(0);
        }
        for reason in ENDS {
            metrics.ends(reason).increment(0);
        }
        metrics
    }

    fn refusals(&self, method: &'static str, reason: &'static str) -> Counter {
        counter!(format!("{}_grpc_refused_total", self.prefix), "method" => method, "reason" => reason)
    }

    fn ends(&self, reason: &'static str) -> Counter {
        counter!(format!("{}_grpc_streams_ended_total", self.prefix), "reason" => reason)
    }

    /// A call was refused.
    pub(crate) fn refused(&self, method: &'static str, reason: &'static str) {
        self.refusals(method, reason).increment(1);
    }

    /// A subscription that had begun came to its end.
    pub(crate) fn ended(&self, reason: &'static str) {
        self.ends(reason).increment(1);
    }

    /// Events were handed to a connection.
    pub(crate) fn sent(&self, events: usize, bytes: usize) {
        self.sent_events.increment(events as u64);
        self.sent_bytes.increment(bytes as u64);
    }
}

/// Describes the metrics of a server to the recorder of the process. `prefix` is that of
/// [`crate::StreamConfig`].
pub fn describe_metrics(prefix: &str) {
    describe_gauge!(
        format!("{prefix}_grpc_subscriptions"),
        "Open subscriptions and range reads"
    );
    describe_histogram!(
        format!("{prefix}_grpc_streaming_latency_seconds"),
        Unit::Seconds,
        "From an event's storage until it is written to a live subscriber's connection"
    );
    describe_histogram!(
        format!("{prefix}_publish_seconds"),
        Unit::Seconds,
        "From the receipt of a batch published over gRPC until it is durable"
    );
    describe_counter!(
        format!("{prefix}_grpc_sent_events_total"),
        "Events written to the connections of subscribers"
    );
    describe_counter!(
        format!("{prefix}_grpc_sent_bytes_total"),
        "Bytes of events written to the connections of subscribers"
    );
    describe_counter!(
        format!("{prefix}_grpc_refused_total"),
        "Calls and published batches that were refused, by method and reason"
    );
    describe_counter!(
        format!("{prefix}_grpc_streams_ended_total"),
        "Subscriptions that ended, by reason; CLIENT where the client went away"
    );
    describe_gauge!(
        format!("{prefix}_consumer_lag_events"),
        "Events stored that a named consumer has not been sent; for 15 minutes also of one that is gone"
    );
    describe_gauge!(
        format!("{prefix}_consumer_lag_seconds"),
        Unit::Seconds,
        "Age of the newest moment up to which a named consumer was sent everything"
    );
}
