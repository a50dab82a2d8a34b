use chrono::{DateTime, Utc};
use metrics::{counter, gauge, histogram};

use crate::series::store::Standing;

const COLLECTION_OUTCOMES: [&str; 3] = ["news", "nothing_new", "failed"];
const REQUEST_OUTCOMES: [&str; 2] = ["ok", "error"];
/// What goes wrong with a source most of all; other codes come when they come.
const CODES: [&str; 6] = [
    "TIMEOUT",
    "CONNECTION",
    "RATE_LIMITED",
    "MALFORMED_RESPONSE",
    "SERIES_NOT_FOUND",
    "KEY_REFUSED",
];

/// Has the metrics of a source be there, with 0, from the start: the first failure is an increase.
pub(crate) fn prepare(source: &'static str) {
    for outcome in COLLECTION_OUTCOMES {
        counter!("fredcollector_collections_total", "source" => source, "outcome" => outcome)
            .increment(0);
    }
    for outcome in REQUEST_OUTCOMES {
        counter!("fredcollector_source_requests_total", "source" => source, "outcome" => outcome)
            .increment(0);
    }
    for code in CODES {
        counter!("fredcollector_source_errors_total", "source" => source, "code" => code)
            .increment(0);
    }
    counter!("fredcollector_data_points_total", "source" => source).increment(0);
    counter!("fredcollector_metadata_changes_total", "source" => source).increment(0);
    gauge!("fredcollector_source_circuit_state", "source" => source).set(0.0);
    let _ = histogram!("fredcollector_source_request_seconds", "source" => source);
    let _ = histogram!("fredcollector_source_pacing_wait_seconds", "source" => source);
}

/// Reports the state of the series of a source.
pub(crate) fn report_state(source: &'static str, standing: &Standing, now: DateTime<Utc>) {
    if let Some(last_success_at) = standing.last_success_at {
        gauge!("fredcollector_source_since_last_success_seconds", "source" => source)
            .set((now - last_success_at).as_seconds_f64());
    }
    let states = [
        ("active", standing.active),
        ("paused", standing.paused),
        ("failing", standing.failing),
        ("overdue", standing.overdue),
    ];
    for (state, count) in states {
        gauge!("fredcollector_source_series", "source" => source, "state" => state)
            .set(count as f64);
    }
}
