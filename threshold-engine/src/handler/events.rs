//! What the engine emits, as events of its log.

use atlas_events::{Event, Timestamp, Violation, event::Payload};
use chrono::{DateTime, Utc};
use consumer::SourcedEvent;
use ulid::Ulid;

use super::SERVICE;
use crate::{Emission, Failed, definition::Kind, pattern::Direction};
use evaluation::series::Cause;

/// The event that is the cause of something; `None` where time has passed.
pub(super) fn caused_by<'a>(cause: &Cause, events: &'a [SourcedEvent]) -> Option<&'a SourcedEvent> {
    if cause.is_time() {
        return None;
    }
    events.get(events.partition_point(|event| event.position() < cause.position))
}

/// Where no span of this engine is recorded, the context of the cause is handed on.
pub(super) fn event_of(
    emission: &Emission,
    cause: Option<&SourcedEvent>,
    context: Option<&str>,
) -> Event {
    let caused = cause.map(|cause| cause.event.traceparent.as_str());
    let payload = match emission {
        Emission::Crossing(crossing) => Payload::ThresholdCrossed(crossing.as_ref().into()),
        Emission::Transition(transition) => Payload::RegimeTransition(transition.as_ref().into()),
    };
    Event {
        event_id: emission.id().to_string(),
        occurred_at: Some(Timestamp::from(emission.cause().occurred_at)),
        source_service: SERVICE.to_owned(),
        traceparent: context.or(caused).unwrap_or_default().to_owned(),
        payload: Some(payload),
        ..Event::default()
    }
}

/// What becomes of the definition of an emission that cannot be emitted.
pub(super) fn refused(emission: &Emission, violation: &Violation) -> Failed {
    let reason = format!("what it emits breaks the contract: {violation}");
    match emission {
        Emission::Crossing(crossing) => Failed::put_pattern(&crossing.pattern, reason),
        Emission::Transition(transition) => Failed::put_regime(&transition.model, reason),
    }
}

/// The definition that an emission is of.
pub(super) fn definition_of(emission: &Emission) -> (Kind, &str) {
    match emission {
        Emission::Crossing(crossing) => (Kind::Pattern, &crossing.pattern.id),
        Emission::Transition(transition) => (Kind::Regime, &transition.model.id),
    }
}

/// Has an event name no earlier one that is older than the log keeps: it was never stored, or is about to go.
pub(super) fn forget_revised_before(earliest: DateTime<Utc>, event: &mut Event) {
    let revised = match &mut event.payload {
        Some(Payload::ThresholdCrossed(crossed)) => &mut crossed.revises_event_id,
        Some(Payload::RegimeTransition(transition)) => &mut transition.revises_event_id,
        _ => return,
    };
    let at = revised.parse::<Ulid>().ok();
    let at = at.and_then(|id| i64::try_from(id.timestamp_ms()).ok());
    let at = at.and_then(DateTime::from_timestamp_millis);
    if at.is_some_and(|at| at < earliest) {
        revised.clear();
    }
}

pub(super) fn direction_of(emission: &Emission) -> &'static str {
    match emission {
        Emission::Crossing(crossing) => match crossing.direction {
            Direction::Entered => "entered",
            Direction::Cleared => "cleared",
            Direction::NoData => "no_data",
            Direction::Data => "data",
            Direction::Revised => "revised",
        },
        Emission::Transition(_) => "transition",
    }
}
