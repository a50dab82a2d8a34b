//! How events of the alert service read.

use atlas_events::{
    AlertChangedEvent, AlertState, DeliveryChangedEvent, DeliveryKind, DeliveryState,
};

/// The title, the states, and who or what changed it.
pub(super) fn alert(changed: &AlertChangedEvent) -> String {
    let (before, after) = (state(changed.before()), state(changed.after()));
    let by = match changed.changed_by.as_str() {
        "" => String::new(),
        name => format!(" by {name}"),
    };
    let note = match changed.note.as_str() {
        "" => String::new(),
        note => format!(": {note}"),
    };
    let (severity, title) = (&changed.severity, &changed.title);
    format!("{severity} \"{title}\" {before} -> {after}{by}{note}")
}

fn state(state: AlertState) -> &'static str {
    match state {
        AlertState::Unspecified => "none",
        AlertState::Firing => "firing",
        AlertState::Acknowledged => "acknowledged",
        AlertState::Resolved => "resolved",
        AlertState::Withdrawn => "withdrawn",
    }
}

/// What is delivered, over which channel, and what became of it.
pub(super) fn delivery(changed: &DeliveryChangedEvent) -> String {
    let kind = match changed.kind() {
        DeliveryKind::Unspecified => "message",
        DeliveryKind::Firing => "firing",
        DeliveryKind::Resolved => "resolved",
        DeliveryKind::Correction => "correction",
    };
    let attempts = match changed.attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    };
    let (state, why) = match changed.state() {
        DeliveryState::Unspecified => ("changed", ""),
        DeliveryState::Pending => ("pending", ""),
        DeliveryState::Sent => ("sent", changed.receipt.as_str()),
        DeliveryState::Failed => ("failed", changed.error.as_str()),
        DeliveryState::Suppressed => ("suppressed", changed.suppressed_by.as_str()),
        DeliveryState::GivenUp => ("given up", changed.error.as_str()),
    };
    let why = match why {
        "" => String::new(),
        why => format!(": {why}"),
    };
    let (alert, channel) = (&changed.alert_id, &changed.channel_kind);
    format!("{kind} of {alert} by {channel} {state}, {attempts}{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_and_its_delivery_are_one_line_each() {
        let mut changed = AlertChangedEvent {
            before: AlertState::Firing.into(),
            after: AlertState::Acknowledged.into(),
            severity: "warning".to_owned(),
            title: "VIX above 30".to_owned(),
            changed_by: "ann".to_owned(),
            note: "seen".to_owned(),
            ..AlertChangedEvent::default()
        };
        let expected = "warning \"VIX above 30\" firing -> acknowledged by ann: seen";
        assert_eq!(alert(&changed), expected);
        changed.before = AlertState::Unspecified.into();
        changed.after = AlertState::Firing.into();
        changed.changed_by.clear();
        changed.note.clear();
        assert_eq!(alert(&changed), "warning \"VIX above 30\" none -> firing");
        let changed = DeliveryChangedEvent {
            alert_id: "A".to_owned(),
            channel_kind: "ntfy".to_owned(),
            kind: DeliveryKind::Firing.into(),
            state: DeliveryState::Suppressed.into(),
            suppressed_by: "cooldown".to_owned(),
            ..DeliveryChangedEvent::default()
        };
        let expected = "firing of A by ntfy suppressed, 0 attempts: cooldown";
        assert_eq!(delivery(&changed), expected);
    }
}
