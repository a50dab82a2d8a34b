//! Events that keep every rule, for tests to break one.

use atlas_events::{
    Acceptance, AlertChangedEvent, AlertState, CollectionFailedEvent, CrossingDirection,
    CustomEvent, DataPoint, DefinitionChange, DefinitionChangedEvent, DefinitionKind,
    DefinitionState, DeliveryChangedEvent, DeliveryKind, DeliveryState, Event,
    RegimeTransitionEvent, SeriesCollectedEvent, ThresholdCrossedEvent, ThresholdInput, Timestamp,
    event::Payload,
};
use chrono::{DateTime, TimeDelta, Utc};
use ulid::Ulid;

pub(crate) fn now() -> DateTime<Utc> {
    "2025-06-15T12:00:00Z".parse().unwrap()
}

/// Accepts what occurred in the past two years or so.
pub(crate) fn acceptance() -> Acceptance {
    Acceptance {
        now: now(),
        earliest: now() - TimeDelta::days(730),
        entropy: || 42,
        types: None,
    }
}

pub(crate) fn id_at(time: DateTime<Utc>) -> String {
    Ulid::from_parts(time.timestamp_millis().try_into().unwrap(), 7).to_string()
}

pub(crate) fn event(payload: Payload) -> Event {
    Event {
        event_id: id_at(now()),
        occurred_at: Some(now().into()),
        source_service: "FredCollector".to_owned(),
        payload: Some(payload),
        ..Event::default()
    }
}

pub(crate) fn point(date: &str, value: Option<&str>) -> DataPoint {
    DataPoint {
        date: date.to_owned(),
        value: value.map(str::to_owned),
        known_from: None,
    }
}

pub(crate) fn collected() -> SeriesCollectedEvent {
    SeriesCollectedEvent {
        series_id: "UNRATE".to_owned(),
        data_points: vec![point("2024-05-01", Some("3.9")), point("2024-06-01", None)],
        collected_at: Some(now().into()),
        release_part: None,
    }
}

pub(crate) fn failed() -> CollectionFailedEvent {
    CollectionFailedEvent {
        series_id: "UNRATE".to_owned(),
        error_code: "HTTP_503".to_owned(),
        error_message: "the source is away".to_owned(),
        attempt: 3,
        next_attempt_at: Some(now().into()),
    }
}

pub(crate) fn crossed() -> ThresholdCrossedEvent {
    ThresholdCrossedEvent {
        pattern_id: "vix-above-30".to_owned(),
        direction: CrossingDirection::Entered.into(),
        value: Some("30.5".to_owned()),
        threshold: Some("30".to_owned()),
        inputs: ["VIXCLS", "UNRATE", "VIXCLS"].map(input).into(),
        ..ThresholdCrossedEvent::default()
    }
}

pub(crate) fn input(series_id: &str) -> ThresholdInput {
    ThresholdInput {
        series_id: series_id.to_owned(),
        value: Some("30.5".to_owned()),
        date: "2024-05-01".to_owned(),
        known_from: None,
    }
}

pub(crate) fn transition() -> RegimeTransitionEvent {
    RegimeTransitionEvent {
        model_id: "business-cycle".to_owned(),
        from_regime: "expansion".to_owned(),
        to_regime: "recession".to_owned(),
        since: "2024-05-01".to_owned(),
        ..RegimeTransitionEvent::default()
    }
}

pub(crate) fn definition() -> DefinitionChangedEvent {
    DefinitionChangedEvent {
        kind: DefinitionKind::Pattern.into(),
        definition_id: "vix-above-30".to_owned(),
        change: DefinitionChange::Deployed.into(),
        after: Some(DefinitionState {
            state: "active".to_owned(),
            since: "2024-05-01".to_owned(),
            active: Some(true),
        }),
        series_ids: vec!["VIXCLS".to_owned(), "UNRATE".to_owned()],
        ..DefinitionChangedEvent::default()
    }
}

pub(crate) fn alert() -> AlertChangedEvent {
    AlertChangedEvent {
        alert_id: id_at(now()),
        rule_id: id_at(now()),
        owner: "research".to_owned(),
        after: AlertState::Firing.into(),
        severity: "warning".to_owned(),
        title: "VIX above 30".to_owned(),
        labels: [("theme".to_owned(), "stress".to_owned())].into(),
        cause_event_id: id_at(now()),
        cause_position: 7,
        ..AlertChangedEvent::default()
    }
}

pub(crate) fn delivery() -> DeliveryChangedEvent {
    DeliveryChangedEvent {
        delivery_id: id_at(now()),
        alert_id: id_at(now()),
        owner: "research".to_owned(),
        channel_id: id_at(now()),
        channel_kind: "webhook".to_owned(),
        kind: DeliveryKind::Firing.into(),
        state: DeliveryState::Sent.into(),
        attempts: 1,
        ..DeliveryChangedEvent::default()
    }
}

pub(crate) fn custom() -> CustomEvent {
    CustomEvent {
        r#type: "OrderPlaced".to_owned(),
        data: None,
    }
}

pub(crate) fn no_time() -> Option<Timestamp> {
    Some(Timestamp {
        seconds: 0,
        nanos: 1_000_000_000,
    })
}
