//! Events of all shapes that a publisher may give.

use atlas_events::{
    AlertChangedEvent, CollectionFailedEvent, CustomEvent, DataPoint, DefinitionChangedEvent,
    DefinitionState, DeliveryChangedEvent, Event, RELEASE_PARTS_MAX, RegimeTransitionEvent,
    ReleasePart, SeriesCollectedEvent, ThresholdCrossedEvent, ThresholdInput, Timestamp,
    event::Payload,
};
use chrono::{DateTime, TimeDelta, Utc};
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use ulid::Ulid;

use crate::samples::now;

fn timestamp() -> impl Strategy<Value = Timestamp> {
    let nanos = prop_oneof![Just(0), Just(1), Just(250_000_000), 0..1_000_000_000];
    (-62_135_596_800..=253_402_300_799i64, nanos)
        .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn decimal() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,10})?"
}

fn text() -> impl Strategy<Value = String> {
    "[^\u{0}]{0,20}"
}

fn name() -> impl Strategy<Value = String> {
    "[^\u{0}]{1,20}"
}

fn series_id() -> impl Strategy<Value = String> {
    "\\PC{1,20}"
}

fn date() -> impl Strategy<Value = String> {
    (0..20_000i64).prop_map(|days| {
        let date = DateTime::UNIX_EPOCH + TimeDelta::days(days);
        date.format("%Y-%m-%d").to_string()
    })
}

fn collected() -> impl Strategy<Value = Payload> {
    let point = (option::of(decimal()), option::of(timestamp()));
    let points = btree_map(date(), point, 1..5).prop_map(|points| {
        let point = |(date, (value, known_from))| DataPoint {
            date,
            value,
            known_from,
        };
        points.into_iter().map(point).collect()
    });
    let part = (2..=RELEASE_PARTS_MAX, timestamp());
    (
        series_id(),
        points,
        option::of(timestamp()),
        option::of(part),
    )
        .prop_map(
            |(series_id, mut data_points, collected_at, part): (_, Vec<DataPoint>, _, _)| {
                let release_part = part.map(|(count, known_from): (u32, Timestamp)| {
                    for point in &mut data_points {
                        point.known_from = Some(known_from);
                    }
                    let number = count / 2;
                    ReleasePart { number, count }
                });
                Payload::SeriesCollected(SeriesCollectedEvent {
                    series_id,
                    data_points,
                    collected_at,
                    release_part,
                })
            },
        )
}

fn failed() -> impl Strategy<Value = Payload> {
    (
        series_id(),
        name(),
        text(),
        any::<u32>(),
        option::of(timestamp()),
    )
        .prop_map(
            |(series_id, error_code, error_message, attempt, next_attempt_at)| {
                Payload::CollectionFailed(CollectionFailedEvent {
                    series_id,
                    error_code,
                    error_message,
                    attempt,
                    next_attempt_at,
                })
            },
        )
}

fn crossed() -> impl Strategy<Value = Payload> {
    let input = (
        series_id(),
        option::of(decimal()),
        date(),
        option::of(timestamp()),
    )
        .prop_map(|(series_id, value, date, known_from)| ThresholdInput {
            series_id,
            value,
            date,
            known_from,
        });
    let labels = btree_map(name(), text(), 0..3);
    let values = (
        option::of(decimal()),
        option::of(decimal()),
        option::of(timestamp()),
    );
    (
        name(),
        0..4i32,
        labels,
        values,
        vec(input, 0..4),
        any::<u64>(),
    )
        .prop_map(
            |(pattern_id, direction, labels, (value, threshold, since), inputs, cause_position)| {
                Payload::ThresholdCrossed(ThresholdCrossedEvent {
                    pattern_id,
                    direction,
                    labels,
                    value,
                    threshold,
                    inputs,
                    previous_state_since: since,
                    cause_position,
                    ..ThresholdCrossedEvent::default()
                })
            },
        )
}

fn transition() -> impl Strategy<Value = Payload> {
    (
        name(),
        text(),
        name(),
        option::of(decimal()),
        vec(name(), 0..3),
        any::<u64>(),
    )
        .prop_map(
            |(model_id, from_regime, to_regime, score, trigger_pattern_ids, cause_position)| {
                Payload::RegimeTransition(RegimeTransitionEvent {
                    model_id,
                    from_regime,
                    to_regime,
                    score,
                    trigger_pattern_ids,
                    cause_position,
                    ..RegimeTransitionEvent::default()
                })
            },
        )
}

fn definition() -> impl Strategy<Value = Payload> {
    let state = || {
        (text(), date(), option::of(any::<bool>())).prop_map(|(state, since, active)| {
            DefinitionState {
                state,
                since,
                active,
            }
        })
    };
    let states = (option::of(state()), option::of(state()));
    let changes = (0..3i32, 0..5i32);
    (
        name(),
        changes,
        states,
        text(),
        vec(series_id(), 0..3),
        any::<u64>(),
    )
        .prop_map(
            |(
                definition_id,
                (kind, change),
                (before, after),
                reason,
                series_ids,
                cause_position,
            )| {
                Payload::DefinitionChanged(DefinitionChangedEvent {
                    kind,
                    definition_id,
                    change,
                    before,
                    after,
                    reason,
                    series_ids,
                    cause_position,
                    ..DefinitionChangedEvent::default()
                })
            },
        )
}

fn alert() -> impl Strategy<Value = Payload> {
    let names = (name(), name(), name(), name());
    let texts = (text(), text(), text());
    let labels = btree_map(name(), text(), 0..3);
    (names, (0..5i32, 0..5i32), texts, labels, any::<u64>()).prop_map(
        |(
            (alert_id, rule_id, owner, severity),
            (before, after),
            (title, changed_by, note),
            labels,
            cause_position,
        )| {
            Payload::AlertChanged(AlertChangedEvent {
                alert_id,
                rule_id,
                owner,
                before,
                after,
                severity,
                title,
                labels,
                cause_position,
                changed_by,
                note,
                ..AlertChangedEvent::default()
            })
        },
    )
}

fn delivery() -> impl Strategy<Value = Payload> {
    let names = (name(), name(), name(), name(), name());
    let texts = (text(), text(), text());
    (names, (0..4i32, 0..6i32), texts, any::<u32>()).prop_map(
        |(
            (delivery_id, alert_id, owner, channel_id, channel_kind),
            (kind, state),
            (suppressed_by, receipt, error),
            attempts,
        )| {
            Payload::DeliveryChanged(DeliveryChangedEvent {
                delivery_id,
                alert_id,
                owner,
                channel_id,
                channel_kind,
                kind,
                state,
                suppressed_by,
                attempts,
                receipt,
                error,
            })
        },
    )
}

fn value() -> impl Strategy<Value = Value> {
    // Exact in few decimal digits, as readers of JSON differ in the last bit of others.
    let number = any::<i32>().prop_map(|number| f64::from(number) / 8.0);
    let leaf = prop_oneof![
        Just(Kind::NullValue(0)),
        any::<bool>().prop_map(Kind::BoolValue),
        number.prop_map(Kind::NumberValue),
        text().prop_map(Kind::StringValue),
    ]
    .prop_map(|kind| Value { kind: Some(kind) });
    leaf.prop_recursive(3, 12, 4, |inner| {
        let list =
            vec(inner.clone(), 0..4).prop_map(|values| Kind::ListValue(ListValue { values }));
        let fields = btree_map(text(), inner, 0..4)
            .prop_map(structure)
            .prop_map(Kind::StructValue);
        prop_oneof![list, fields].prop_map(|kind| Value { kind: Some(kind) })
    })
}

pub(crate) fn structure(fields: std::collections::BTreeMap<String, Value>) -> Struct {
    Struct {
        fields: fields.into_iter().collect(),
    }
}

fn custom() -> impl Strategy<Value = Payload> {
    let data = btree_map(text(), value(), 0..4).prop_map(structure);
    ("[A-Za-z][A-Za-z0-9_.-]{0,20}", option::of(data))
        .prop_map(|(r#type, data)| Payload::Custom(CustomEvent { r#type, data }))
}

/// A time that is accepted, finer than what is kept.
fn accepted_time() -> impl Strategy<Value = DateTime<Utc>> {
    (0..730 * 86_400i64, 0..1_000_000_000i64).prop_map(|(seconds, nanos)| {
        now() - TimeDelta::seconds(seconds) + TimeDelta::nanoseconds(nanos)
    })
}

/// An event of any payload; its id, if it has one, is near its time.
pub(crate) fn event() -> impl Strategy<Value = Event> {
    let payload = prop_oneof![
        collected(),
        failed(),
        crossed(),
        transition(),
        definition(),
        alert(),
        delivery(),
        custom()
    ];
    let apart = -3_599_000..=3_599_000i64;
    let id = option::of((apart, any::<u128>()));
    (accepted_time(), any::<bool>(), id, name(), text(), payload).prop_map(
        |(occurred_at, timed, id, source_service, traceparent, payload)| Event {
            event_id: id.map_or(String::new(), |(apart, random)| {
                let time = occurred_at + TimeDelta::milliseconds(if timed { apart } else { 0 });
                Ulid::from_parts(time.timestamp_millis() as u64, random).to_string()
            }),
            occurred_at: timed.then(|| occurred_at.into()),
            source_service,
            // The server's fields, which a publisher cannot set.
            position: 99,
            recorded_at: Some(Timestamp::from(now())),
            traceparent,
            payload: Some(payload),
        },
    )
}
