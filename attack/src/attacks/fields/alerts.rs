//! Texts of what the alert service emits.

use atlas_events::{AlertChangedEvent, DeliveryChangedEvent, event::Payload};

/// A payload for each text, with its field.
pub(super) fn payloads(text: &str) -> [(&'static str, Payload); 5] {
    let text = || text.to_owned();
    let source = || "Attack".to_owned();
    let alert = |change: fn(&mut AlertChangedEvent, String)| {
        let mut alert = AlertChangedEvent {
            alert_id: source(),
            rule_id: source(),
            owner: source(),
            severity: source(),
            ..Default::default()
        };
        change(&mut alert, text());
        Payload::AlertChanged(alert)
    };
    let delivery = |change: fn(&mut DeliveryChangedEvent, String)| {
        let mut delivery = DeliveryChangedEvent {
            delivery_id: source(),
            alert_id: source(),
            owner: source(),
            channel_id: source(),
            channel_kind: source(),
            ..Default::default()
        };
        change(&mut delivery, text());
        Payload::DeliveryChanged(delivery)
    };
    [
        ("alert_changed.owner", alert(|a, t| a.owner = t)),
        ("alert_changed.title", alert(|a, t| a.title = t)),
        (
            "alert_changed.labels",
            alert(|a, t| a.labels = [(t.clone(), t)].into()),
        ),
        ("delivery_changed.receipt", delivery(|d, t| d.receipt = t)),
        ("delivery_changed.error", delivery(|d, t| d.error = t)),
    ]
}
