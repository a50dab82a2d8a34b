//! What an event takes in memory while it waits to be stored, or is answered.

use pbjson_types::{Struct, Value, value::Kind};

use crate::{
    AlertChangedEvent, CollectionFailedEvent, DataPoint, DefinitionChangedEvent, DefinitionState,
    DeliveryChangedEvent, Draft, Event, RegimeTransitionEvent, SeriesCollectedEvent,
    ThresholdCrossedEvent, ThresholdInput, event::Payload,
};

/// What an allocation takes besides what was asked for.
const ALLOCATION_BYTES: usize = 16;

impl Draft {
    /// The memory that it holds, in bytes, within a third. In a payload of many small values that is
    /// tens of times the encoded length.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + allocation(size_of::<Payload>())
            + text(&self.source_service)
            + text(self.event_type.as_str())
            + texts(&self.series_ids)
            + payload(&self.payload)
            + allocation(self.payload_json.capacity())
            + allocation(self.encoded.len())
    }
}

impl Event {
    /// The memory that it holds, in bytes, within a third.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>()
            + text(&self.event_id)
            + text(&self.source_service)
            + text(&self.traceparent)
            + self.payload.as_ref().map_or(0, payload)
    }
}

fn allocation(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        bytes => bytes + ALLOCATION_BYTES,
    }
}

fn text(text: &str) -> usize {
    allocation(text.len())
}

fn optional(text: Option<&String>) -> usize {
    text.map_or(0, |text| allocation(text.len()))
}

fn texts(texts: &[String]) -> usize {
    list(texts, |entry| text(entry))
}

fn list<T>(entries: &[T], held: impl Fn(&T) -> usize) -> usize {
    allocation(size_of_val(entries)) + entries.iter().map(held).sum::<usize>()
}

/// A table of so many entries has room for a power of two of them, a seventh more at the least, and
/// a byte for each.
fn table<K, V>(capacity: usize) -> usize {
    let buckets = match capacity {
        0 => 0,
        capacity => (capacity * 8 / 7).next_power_of_two(),
    };
    allocation(buckets * (size_of::<(K, V)>() + 1))
}

fn payload(payload: &Payload) -> usize {
    match payload {
        Payload::SeriesCollected(event) => series_collected(event),
        Payload::CollectionFailed(event) => collection_failed(event),
        Payload::ThresholdCrossed(event) => threshold_crossed(event),
        Payload::RegimeTransition(event) => regime_transition(event),
        Payload::DefinitionChanged(event) => definition_changed(event),
        Payload::AlertChanged(event) => alert_changed(event),
        Payload::DeliveryChanged(event) => delivery_changed(event),
        Payload::Custom(event) => text(&event.r#type) + event.data.as_ref().map_or(0, fields),
        Payload::Typed(any) => text(&any.type_url) + allocation(any.value.len()),
        Payload::Heartbeat(_)
        | Payload::CaughtUp(_)
        | Payload::FellBehind(_)
        | Payload::Undeliverable(_) => 0,
    }
}

fn series_collected(event: &SeriesCollectedEvent) -> usize {
    let point = |point: &DataPoint| text(&point.date) + optional(point.value.as_ref());
    text(&event.series_id) + list(&event.data_points, point)
}

fn collection_failed(event: &CollectionFailedEvent) -> usize {
    text(&event.series_id) + text(&event.error_code) + text(&event.error_message)
}

fn threshold_crossed(event: &ThresholdCrossedEvent) -> usize {
    let input = |input: &ThresholdInput| {
        text(&input.series_id) + optional(input.value.as_ref()) + text(&input.date)
    };
    let labels = event.labels.iter();
    let own = [
        &event.pattern_id,
        &event.pattern_name,
        &event.pattern_version,
        &event.severity,
        &event.previous_state,
        &event.cause_event_id,
        &event.observation_date,
        &event.message,
        &event.revises_event_id,
    ];
    own.iter().map(|own| text(own)).sum::<usize>()
        + table::<String, String>(event.labels.len())
        + labels.map(|(k, v)| text(k) + text(v)).sum::<usize>()
        + optional(event.value.as_ref())
        + optional(event.threshold.as_ref())
        + list(&event.inputs, input)
}

fn regime_transition(event: &RegimeTransitionEvent) -> usize {
    let own = [
        &event.model_id,
        &event.from_regime,
        &event.to_regime,
        &event.since,
        &event.cause_event_id,
        &event.model_version,
        &event.revises_event_id,
        &event.definition_event_id,
        &event.current_regime,
    ];
    own.iter().map(|own| text(own)).sum::<usize>()
        + optional(event.score.as_ref())
        + texts(&event.trigger_pattern_ids)
}

fn definition_changed(event: &DefinitionChangedEvent) -> usize {
    let own = [
        &event.definition_id,
        &event.name,
        &event.version,
        &event.previous_version,
        &event.reason,
        &event.cause_event_id,
    ];
    let state = |state: &DefinitionState| text(&state.state) + text(&state.since);
    let states = [&event.before, &event.after].into_iter().flatten();
    own.iter().map(|own| text(own)).sum::<usize>()
        + states.map(state).sum::<usize>()
        + texts(&event.series_ids)
}

fn alert_changed(event: &AlertChangedEvent) -> usize {
    let own = [
        &event.alert_id,
        &event.rule_id,
        &event.owner,
        &event.severity,
        &event.title,
        &event.cause_log_id,
        &event.cause_event_id,
        &event.changed_by,
        &event.note,
    ];
    let labels = event.labels.iter();
    own.iter().map(|own| text(own)).sum::<usize>()
        + table::<String, String>(event.labels.len())
        + labels.map(|(k, v)| text(k) + text(v)).sum::<usize>()
}

fn delivery_changed(event: &DeliveryChangedEvent) -> usize {
    let own = [
        &event.delivery_id,
        &event.alert_id,
        &event.owner,
        &event.channel_id,
        &event.channel_kind,
        &event.suppressed_by,
        &event.receipt,
        &event.error,
    ];
    own.iter().map(|own| text(own)).sum()
}

fn fields(data: &Struct) -> usize {
    let held = data.fields.iter().map(|(name, of)| text(name) + value(of));
    table::<String, Value>(data.fields.capacity()) + held.sum::<usize>()
}

fn value(value: &Value) -> usize {
    match &value.kind {
        Some(Kind::StringValue(own)) => text(own),
        Some(Kind::StructValue(own)) => fields(own),
        Some(Kind::ListValue(own)) => list(&own.values, self::value),
        Some(Kind::NullValue(_) | Kind::NumberValue(_) | Kind::BoolValue(_)) | None => 0,
    }
}
