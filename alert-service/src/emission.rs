//! What the alert service emits, as events of its log.

use atlas_events::{
    Acceptance, AlertChangedEvent, AlertState, DeliveryChangedEvent, DeliveryKind, DeliveryState,
    Draft, Event, Timestamp, clip, event::Payload,
};
use ulid::Ulid;

use crate::{SERVICE, context::Context, store};

const TEXT_CHARS_MAX: usize = 1_000;

/// Events of one transaction, in order.
#[derive(Debug, Default)]
pub(crate) struct Emissions(Vec<Payload>);

/// Who or what changed an alert.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cause {
    /// The log that holds the event, if known.
    pub(crate) log_id: Option<uuid::Uuid>,
    /// Empty: a person.
    pub(crate) event_id: String,
    pub(crate) position: u64,
    /// Empty: an event.
    pub(crate) by: String,
    pub(crate) note: String,
}

/// As events have it.
pub(crate) fn alert_state(state: &str) -> AlertState {
    match state {
        "firing" => AlertState::Firing,
        "acknowledged" => AlertState::Acknowledged,
        "resolved" => AlertState::Resolved,
        "withdrawn" => AlertState::Withdrawn,
        _ => AlertState::Unspecified,
    }
}

fn delivery_state(state: &str) -> DeliveryState {
    match state {
        "pending" | "sending" => DeliveryState::Pending,
        "sent" => DeliveryState::Sent,
        "failed" => DeliveryState::Failed,
        "suppressed" => DeliveryState::Suppressed,
        "given_up" => DeliveryState::GivenUp,
        _ => DeliveryState::Unspecified,
    }
}

fn delivery_kind(kind: &str) -> DeliveryKind {
    match kind {
        "firing" => DeliveryKind::Firing,
        "resolved" => DeliveryKind::Resolved,
        "correction" => DeliveryKind::Correction,
        _ => DeliveryKind::Unspecified,
    }
}

fn short(text: &str) -> String {
    clip(text, TEXT_CHARS_MAX).into_owned()
}

impl Emissions {
    /// The state of an alert has become that of the row.
    pub(crate) fn alert(&mut self, alert: &store::Alert, before: &str, cause: &Cause) {
        self.0.push(Payload::AlertChanged(AlertChangedEvent {
            alert_id: alert.id.clone(),
            rule_id: alert.rule_id.clone(),
            owner: alert.tenant.clone(),
            before: alert_state(before).into(),
            after: alert_state(&alert.state).into(),
            severity: alert.severity.clone(),
            title: short(&alert.title),
            labels: alert.labels.0.clone().into_iter().collect(),
            cause_log_id: cause.log_id.map(|id| id.to_string()).unwrap_or_default(),
            cause_event_id: cause.event_id.clone(),
            cause_position: cause.position,
            changed_by: cause.by.clone(),
            note: short(&cause.note),
        }));
    }

    /// The state of a delivery has become that of the row.
    pub(crate) fn delivery(&mut self, delivery: &store::Delivery) {
        let state = delivery_state(&delivery.state);
        let is_dead = matches!(state, DeliveryState::Failed | DeliveryState::GivenUp);
        let error = delivery.last_error.as_deref().filter(|_| is_dead);
        self.0.push(Payload::DeliveryChanged(DeliveryChangedEvent {
            delivery_id: delivery.id.clone(),
            alert_id: delivery.alert_id.clone(),
            owner: delivery.tenant.clone(),
            channel_id: delivery.channel_id.clone(),
            channel_kind: delivery.channel_kind.clone(),
            kind: delivery_kind(&delivery.kind).into(),
            state: state.into(),
            suppressed_by: delivery.suppressed_by.clone().unwrap_or_default(),
            attempts: delivery.attempts.unsigned_abs(),
            receipt: short(delivery.receipt.as_deref().unwrap_or_default()),
            error: short(error.unwrap_or_default()),
        }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The events, ready to be appended. They occur now by the clock of the log.
    ///
    /// # Errors
    /// A violation of the contract, which is a fault of this crate.
    pub(crate) fn drafts(
        self,
        context: &Context,
        acceptance: &Acceptance,
    ) -> Result<Vec<Draft>, atlas_events::Violation> {
        let now = acceptance.now;
        let traceparent = trace_context::TraceContext::current().map(|c| c.to_string());
        let draft = |payload| {
            let id: Ulid = context.id(now);
            let event = Event {
                event_id: id.to_string(),
                occurred_at: Some(Timestamp::from(now)),
                source_service: SERVICE.to_owned(),
                traceparent: traceparent.clone().unwrap_or_default(),
                payload: Some(payload),
                ..Event::default()
            };
            Draft::new(event, acceptance)
        };
        self.0.into_iter().map(draft).collect()
    }
}
