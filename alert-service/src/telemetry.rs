//! The alert service's share of the metrics.

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use service::telemetry::{Metrics, MetricsError};

use crate::alert::Done;

/// First part of the names of the metrics.
pub(crate) const METRICS_PREFIX: &str = "alertservice";

const ALERT_STATES: [&str; 4] = ["firing", "acknowledged", "resolved", "withdrawn"];
/// Of those, the gauge has the ones that are not final for good.
pub(crate) const OPEN_STATES: [&str; 4] = ["pending", "sending", "failed", "given_up"];

/// What becomes of alerts that others send. Only Alertmanager has what is refused or truncated counted.
const INTAKE_OUTCOMES: [&str; 6] = [
    "begun",
    "ended",
    "repeated",
    "unmatched",
    "refused",
    "truncated",
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

/// Describes the metrics, in a process that keeps them already.
pub fn describe_metrics() {
    service::telemetry::describe(METRICS_PREFIX, env!("CARGO_PKG_VERSION"));
    consumer::describe_metrics(METRICS_PREFIX);
    describe_counter!(
        "alertservice_alerts_total",
        "Changes of alerts, by the state that they came to, counted after their commit"
    );
    describe_counter!(
        "alertservice_unmatched_total",
        "Crossings and transitions of which no rule wants to know"
    );
    describe_counter!(
        "alertservice_alerts_received_total",
        "Alerts that others sent over REST, by intake (api, alertmanager) and what became of them"
    );
    describe_counter!(
        "alertservice_alerts_removed_total",
        "Alerts that were removed because they ended long ago"
    );
    describe_counter!(
        "alertservice_deliveries_total",
        "Deliveries that ended, by channel kind and state"
    );
    describe_counter!(
        "alertservice_suppressed_total",
        "Deliveries that are not sent, by reason"
    );
    describe_counter!(
        "alertservice_attempts_total",
        "Attempts to send, by channel kind and outcome"
    );
    describe_counter!(
        "alertservice_leases_expired_total",
        "Attempts that were not recorded in time, and are made again"
    );
    describe_histogram!(
        "alertservice_crossing_to_sent_seconds",
        Unit::Seconds,
        "From the storage of the event that caused a delivery until the channel took it over"
    );
    describe_histogram!(
        "alertservice_attempt_seconds",
        Unit::Seconds,
        "How long attempts take, by channel kind"
    );
    describe_gauge!(
        "alertservice_deliveries",
        "Deliveries that wait, are being sent, or are dead letters (failed, given_up), by state"
    );
    describe_gauge!(
        "alertservice_delivery_overdue_seconds",
        Unit::Seconds,
        "How long the oldest delivery has waited that is due and whose destination works"
    );
    describe_gauge!(
        "alertservice_destinations_paused",
        "Destinations to which nothing is sent for a time"
    );
}

/// Has the metrics be there, with 0, from the start.
pub(crate) fn prepare() {
    for state in ALERT_STATES {
        counter!("alertservice_alerts_total", "state" => state).increment(0);
    }
    for state in OPEN_STATES {
        gauge!("alertservice_deliveries", "state" => state).set(0.0);
    }
    gauge!("alertservice_destinations_paused").set(0.0);
    gauge!("alertservice_delivery_overdue_seconds").set(0.0);
    counter!("alertservice_unmatched_total").increment(0);
    counter!("alertservice_alerts_removed_total").increment(0);
    for outcome in INTAKE_OUTCOMES {
        for intake in ["api", "alertmanager"] {
            counter!("alertservice_alerts_received_total", "intake" => intake, "outcome" => outcome)
                .increment(0);
        }
    }
    counter!("alertservice_leases_expired_total").increment(0);
    let _ = histogram!("alertservice_crossing_to_sent_seconds");
}

/// Counts what was committed.
pub(crate) fn count(done: &Done) {
    for state in &done.alerts {
        counter!("alertservice_alerts_total", "state" => *state).increment(1);
    }
    for reason in &done.suppressed {
        counter!("alertservice_suppressed_total", "reason" => reason.name()).increment(1);
    }
    counter!("alertservice_unmatched_total").increment(done.unmatched);
}
