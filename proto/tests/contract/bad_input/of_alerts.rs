//! Events of the alert service that break a rule.

use super::*;

#[test]
fn alerts_and_deliveries() {
    check(
        with_alert(|a| a.owner.clear()),
        "alert_changed.owner",
        "is required",
    );
    check(
        with_alert(|a| a.title = "x".repeat(1_001)),
        "alert_changed.title",
        "1000",
    );
    let unlabelled = with_alert(|a| drop(a.labels.insert(String::new(), "x".to_owned())));
    check(unlabelled, "alert_changed.labels", "is required");
    check(
        with_alert(|a| a.note = "x".repeat(10_001)),
        "alert_changed.note",
        "10000",
    );
    // A state of a later version of the contract.
    check(with_alert(|a| a.after = 99), "payload", "99");
    check(
        with_delivery(|d| d.channel_kind.clear()),
        "delivery_changed.channel_kind",
        "is required",
    );
    check(
        with_delivery(|d| d.suppressed_by = "x".repeat(101)),
        "delivery_changed.suppressed_by",
        "100",
    );
    check(
        with_delivery(|d| d.error = "\0".to_owned()),
        "delivery_changed.error",
        "NUL",
    );
    check(with_delivery(|d| d.state = 99), "payload", "99");
}
