//! The rules that each payload keeps, as the contract's comments state them.

mod alerts;

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, Utc};

use crate::{
    CollectionFailedEvent, CustomEvent, DefinitionChangedEvent, DefinitionState, KNOWN_EVENT_TYPES,
    RegimeTransitionEvent, ReleasePart, SeriesCollectedEvent, ThresholdCrossedEvent,
    ThresholdInput, Timestamp, Violation,
    event::Payload,
    parse_decimal,
    text::{check_name, check_series_id, check_text},
};

pub(crate) const NAME_CHARS_MAX: usize = 100;
const MESSAGE_CHARS_MAX: usize = 10_000;
/// How deep objects and lists nest in the data of a custom event, `data` itself included. An object
/// takes three nested messages, so the deepest event takes 74 of the 100 that clients of protobuf
/// commonly decode (C++, Java, Python and prost; Go decodes more).
pub const DATA_DEPTH_MAX: usize = 24;
/// Into how many events a release may be split.
pub const RELEASE_PARTS_MAX: u32 = 1_000;

/// Checks a payload and returns which series it is about.
pub(crate) fn check_payload(
    payload: &Payload,
    occurred_at: DateTime<Utc>,
) -> Result<Vec<String>, Violation> {
    match payload {
        Payload::SeriesCollected(collected) => {
            check_collected(collected, occurred_at).map_err(|v| v.within("series_collected"))
        }
        Payload::CollectionFailed(failed) => {
            check_failed(failed).map_err(|v| v.within("collection_failed"))
        }
        Payload::ThresholdCrossed(crossed) => {
            check_crossed(crossed).map_err(|v| v.within("threshold_crossed"))
        }
        Payload::RegimeTransition(transition) => {
            check_transition(transition).map_err(|v| v.within("regime_transition"))
        }
        Payload::DefinitionChanged(changed) => {
            check_definition(changed).map_err(|v| v.within("definition_changed"))
        }
        Payload::AlertChanged(changed) => {
            alerts::check_alert(changed).map_err(|v| v.within("alert_changed"))
        }
        Payload::DeliveryChanged(changed) => {
            alerts::check_delivery(changed).map_err(|v| v.within("delivery_changed"))
        }
        Payload::Custom(custom) => check_custom(custom).map_err(|v| v.within("custom")),
        // By who knows its type.
        Payload::Typed(_) => Ok(()),
        Payload::Heartbeat(_)
        | Payload::CaughtUp(_)
        | Payload::FellBehind(_)
        | Payload::Undeliverable(_) => Ok(()),
    }?;
    Ok(series_of(payload))
}

/// The series that a payload is about, each once.
pub(crate) fn series_of(payload: &Payload) -> Vec<String> {
    match payload {
        Payload::SeriesCollected(collected) => vec![collected.series_id.clone()],
        Payload::CollectionFailed(failed) => vec![failed.series_id.clone()],
        Payload::ThresholdCrossed(crossed) => {
            let mut series: Vec<_> = crossed.inputs.iter().map(|i| i.series_id.clone()).collect();
            series.sort_unstable();
            series.dedup();
            series
        }
        Payload::DefinitionChanged(changed) => {
            let mut series = changed.series_ids.clone();
            series.sort_unstable();
            series.dedup();
            series
        }
        Payload::RegimeTransition(_)
        | Payload::AlertChanged(_)
        | Payload::DeliveryChanged(_)
        | Payload::Custom(_)
        | Payload::Typed(_)
        | Payload::Heartbeat(_)
        | Payload::CaughtUp(_)
        | Payload::FellBehind(_)
        | Payload::Undeliverable(_) => Vec::new(),
    }
}

fn check_collected(
    event: &SeriesCollectedEvent,
    occurred_at: DateTime<Utc>,
) -> Result<(), Violation> {
    check_series_id("series_id", &event.series_id)?;
    check_timestamp("collected_at", event.collected_at)?;
    if event.data_points.is_empty() {
        return Err(Violation::new("data_points", "is empty"));
    }
    if let Some(part) = &event.release_part {
        check_part(part).map_err(|v| v.within("release_part"))?;
    }
    let mut seen = HashSet::new();
    let several = event.data_points.len() > 1;
    for (index, point) in event.data_points.iter().enumerate() {
        let within = |v: Violation| v.within(format!("data_points[{index}]"));
        check_date("date", &point.date).map_err(within)?;
        check_decimal("value", point.value.as_deref()).map_err(within)?;
        check_timestamp("known_from", point.known_from).map_err(within)?;
        if event.release_part.is_some() {
            check_same(point.known_from, event.data_points[0].known_from).map_err(within)?;
        }
        // As they are stored: with the default, in microseconds.
        let known_from = point
            .known_from
            .and_then(Timestamp::to_utc)
            .unwrap_or(occurred_at);
        if several && !seen.insert((&point.date, known_from.timestamp_micros())) {
            let problem = "repeats the date and known_from of an earlier data point";
            return Err(within(Violation::new("date", problem)));
        }
    }
    Ok(())
}

fn check_part(part: &ReleasePart) -> Result<(), Violation> {
    if !(2..=RELEASE_PARTS_MAX).contains(&part.count) {
        let problem = format!("is not 2 to {RELEASE_PARTS_MAX}");
        return Err(Violation::new("count", problem));
    }
    match (1..=part.count).contains(&part.number) {
        true => Ok(()),
        false => Err(Violation::new("number", "is not 1 to count")),
    }
}

/// The points of a part became known together.
fn check_same(known_from: Option<Timestamp>, first: Option<Timestamp>) -> Result<(), Violation> {
    let problem = match known_from {
        None => "is missing, in a part of a release",
        Some(_) if known_from != first => "differs within a part of a release",
        Some(_) => return Ok(()),
    };
    Err(Violation::new("known_from", problem))
}

fn check_failed(event: &CollectionFailedEvent) -> Result<(), Violation> {
    check_series_id("series_id", &event.series_id)?;
    check_name("error_code", &event.error_code, NAME_CHARS_MAX)?;
    check_text("error_message", &event.error_message, MESSAGE_CHARS_MAX)?;
    check_timestamp("next_attempt_at", event.next_attempt_at)
}

fn check_crossed(event: &ThresholdCrossedEvent) -> Result<(), Violation> {
    check_name("pattern_id", &event.pattern_id, NAME_CHARS_MAX)?;
    for (field, text) in [
        ("pattern_name", &event.pattern_name),
        ("pattern_version", &event.pattern_version),
        ("severity", &event.severity),
        ("previous_state", &event.previous_state),
        ("cause_event_id", &event.cause_event_id),
        ("observation_date", &event.observation_date),
        ("revises_event_id", &event.revises_event_id),
    ] {
        check_text(field, text, NAME_CHARS_MAX)?;
    }
    check_text("message", &event.message, MESSAGE_CHARS_MAX)?;
    for (key, value) in &event.labels {
        check_name("labels", key, NAME_CHARS_MAX)?;
        check_text("labels", value, MESSAGE_CHARS_MAX)?;
    }
    check_decimal("value", event.value.as_deref())?;
    check_decimal("threshold", event.threshold.as_deref())?;
    check_timestamp("previous_state_since", event.previous_state_since)?;
    for (index, input) in event.inputs.iter().enumerate() {
        check_input(input).map_err(|v| v.within(format!("inputs[{index}]")))?;
    }
    Ok(())
}

fn check_input(input: &ThresholdInput) -> Result<(), Violation> {
    check_series_id("series_id", &input.series_id)?;
    check_decimal("value", input.value.as_deref())?;
    check_text("date", &input.date, NAME_CHARS_MAX)?;
    check_timestamp("known_from", input.known_from)
}

fn check_transition(event: &RegimeTransitionEvent) -> Result<(), Violation> {
    check_name("model_id", &event.model_id, NAME_CHARS_MAX)?;
    check_name("to_regime", &event.to_regime, NAME_CHARS_MAX)?;
    check_text("from_regime", &event.from_regime, NAME_CHARS_MAX)?;
    check_text("since", &event.since, NAME_CHARS_MAX)?;
    check_text("cause_event_id", &event.cause_event_id, NAME_CHARS_MAX)?;
    check_text("model_version", &event.model_version, NAME_CHARS_MAX)?;
    check_text("revises_event_id", &event.revises_event_id, NAME_CHARS_MAX)?;
    let definition_event_id = &event.definition_event_id;
    check_text("definition_event_id", definition_event_id, NAME_CHARS_MAX)?;
    check_text("current_regime", &event.current_regime, NAME_CHARS_MAX)?;
    for (index, id) in event.trigger_pattern_ids.iter().enumerate() {
        check_name(&format!("trigger_pattern_ids[{index}]"), id, NAME_CHARS_MAX)?;
    }
    check_decimal("score", event.score.as_deref())
}

fn check_definition(event: &DefinitionChangedEvent) -> Result<(), Violation> {
    check_name("definition_id", &event.definition_id, NAME_CHARS_MAX)?;
    for (field, text) in [
        ("name", &event.name),
        ("version", &event.version),
        ("previous_version", &event.previous_version),
        ("cause_event_id", &event.cause_event_id),
    ] {
        check_text(field, text, NAME_CHARS_MAX)?;
    }
    for (field, state) in [("before", &event.before), ("after", &event.after)] {
        if let Some(state) = state {
            check_state(state).map_err(|v| v.within(field))?;
        }
    }
    check_text("reason", &event.reason, MESSAGE_CHARS_MAX)?;
    for (index, id) in event.series_ids.iter().enumerate() {
        check_series_id(&format!("series_ids[{index}]"), id)?;
    }
    Ok(())
}

fn check_state(state: &DefinitionState) -> Result<(), Violation> {
    check_text("state", &state.state, NAME_CHARS_MAX)?;
    check_text("since", &state.since, NAME_CHARS_MAX)
}

fn check_custom(event: &CustomEvent) -> Result<(), Violation> {
    check_custom_type("type", &event.r#type)?;
    if KNOWN_EVENT_TYPES.contains(&event.r#type.as_str()) {
        return Err(Violation::new(
            "type",
            "is a name of the platform's own; use its payload",
        ));
    }
    let Some(data) = &event.data else {
        return Ok(());
    };
    for (key, value) in &data.fields {
        check_text("data", key, usize::MAX)?;
        check_value(value, DATA_DEPTH_MAX - 1)
            .map_err(|problem| Violation::new(format!("data.{key}"), problem))?;
    }
    Ok(())
}

/// Checks the name of a type that the platform does not know.
pub(crate) fn check_custom_type(field: &str, name: &str) -> Result<(), Violation> {
    check_name(field, name, NAME_CHARS_MAX)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts_well || !name.chars().all(allowed) {
        let problem = "is a letter, then letters, digits, \"_\", \".\" or \"-\"";
        return Err(Violation::new(field, problem));
    }
    Ok(())
}

/// Makes a value of no kind the null that it stands for: what the JSON mapping reads `null` as.
pub(crate) fn complete_nulls(payload: &mut Payload) {
    if let Payload::Custom(CustomEvent {
        data: Some(data), ..
    }) = payload
    {
        data.fields.values_mut().for_each(complete_null);
    }
}

fn complete_null(value: &mut pbjson_types::Value) {
    use pbjson_types::value::Kind;
    match value.kind.get_or_insert(Kind::NullValue(0)) {
        Kind::ListValue(list) => list.values.iter_mut().for_each(complete_null),
        Kind::StructValue(inner) => inner.fields.values_mut().for_each(complete_null),
        Kind::NullValue(_) | Kind::NumberValue(_) | Kind::StringValue(_) | Kind::BoolValue(_) => {}
    }
}

/// Checks a value that may hold objects and lists nested `depth_left` deep.
fn check_value(value: &pbjson_types::Value, depth_left: usize) -> Result<(), &'static str> {
    use pbjson_types::value::Kind;
    match &value.kind {
        Some(Kind::ListValue(_) | Kind::StructValue(_)) if depth_left == 0 => {
            Err("nests objects and lists over 24 deep")
        }
        Some(Kind::NumberValue(number)) if !number.is_finite() => {
            Err("holds NaN or an infinite number")
        }
        Some(Kind::StringValue(text)) if text.contains('\0') => {
            Err("holds a NUL character, which cannot be stored")
        }
        Some(Kind::ListValue(list)) => list
            .values
            .iter()
            .try_for_each(|value| check_value(value, depth_left - 1)),
        Some(Kind::StructValue(inner)) => {
            if inner.fields.keys().any(|key| key.contains('\0')) {
                return Err("holds a NUL character, which cannot be stored");
            }
            inner
                .fields
                .values()
                .try_for_each(|value| check_value(value, depth_left - 1))
        }
        None
        | Some(
            Kind::NullValue(_) | Kind::NumberValue(_) | Kind::StringValue(_) | Kind::BoolValue(_),
        ) => Ok(()),
    }
}

fn check_date(field: &str, text: &str) -> Result<(), Violation> {
    if parse_date(text.as_bytes()).is_some() {
        return Ok(());
    }
    Err(Violation::new(
        field,
        "is not a calendar date as YYYY-MM-DD",
    ))
}

/// The contract has one form; chrono also reads signs, spaces, single digits and years of other
/// lengths.
fn parse_date(text: &[u8]) -> Option<NaiveDate> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = text else {
        return None;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + u32::from(digit - b'0'))
        })
    };
    // Year 0 is no year to PostgreSQL and to several clients.
    let year = number(&[*y0, *y1, *y2, *y3]).filter(|year| *year > 0)?;
    NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        number(&[*m0, *m1])?,
        number(&[*d0, *d1])?,
    )
}

fn check_decimal(field: &str, text: Option<&str>) -> Result<(), Violation> {
    match text {
        Some(text) if parse_decimal(text).is_none() => Err(Violation::new(
            field,
            "is not a finite decimal in plain notation with at most 28 significant digits",
        )),
        _ => Ok(()),
    }
}

fn check_timestamp(field: &str, timestamp: Option<Timestamp>) -> Result<(), Violation> {
    match timestamp {
        Some(timestamp) if timestamp.to_utc().is_none() => Err(Violation::new(
            field,
            "is not a time in the years 1 to 9999",
        )),
        _ => Ok(()),
    }
}
