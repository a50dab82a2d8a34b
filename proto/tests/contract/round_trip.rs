//! What a publisher gives is what is stored, in both forms.

use atlas_events::{
    AlertChangedEvent, CollectionFailedEvent, CustomEvent, DataPoint, DefinitionChangedEvent,
    DefinitionState, DeliveryChangedEvent, Draft, Event, ID_TIME_TOLERANCE, RELEASE_PARTS_MAX,
    RegimeTransitionEvent, ReleasePart, SeriesCollectedEvent, ThresholdCrossedEvent,
    ThresholdInput, Timestamp, event::Payload,
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};
use prost::Message;
use serde_json::Value as Json;
use ulid::Ulid;

use crate::samples::{acceptance, now};

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

fn structure(fields: std::collections::BTreeMap<String, Value>) -> Struct {
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
fn event() -> impl Strategy<Value = Event> {
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

/// The payload that a stored JSON document is of.
fn from_json(like: &Payload, json: &str) -> Payload {
    match like {
        Payload::SeriesCollected(_) => {
            Payload::SeriesCollected(serde_json::from_str(json).unwrap())
        }
        Payload::CollectionFailed(_) => {
            Payload::CollectionFailed(serde_json::from_str(json).unwrap())
        }
        Payload::ThresholdCrossed(_) => {
            Payload::ThresholdCrossed(serde_json::from_str(json).unwrap())
        }
        Payload::RegimeTransition(_) => {
            Payload::RegimeTransition(serde_json::from_str(json).unwrap())
        }
        Payload::DefinitionChanged(_) => {
            Payload::DefinitionChanged(serde_json::from_str(json).unwrap())
        }
        Payload::AlertChanged(_) => Payload::AlertChanged(serde_json::from_str(json).unwrap()),
        Payload::DeliveryChanged(_) => {
            Payload::DeliveryChanged(serde_json::from_str(json).unwrap())
        }
        Payload::Custom(_) => Payload::Custom(serde_json::from_str(json).unwrap()),
        marker => panic!("{marker:?}"),
    }
}

/// The canonical form of proto3 JSON: lowerCamelCase names, times that end in Z, 64-bit integers
/// as strings, enum values by name.
fn check_canonical(json: &Json) {
    let Json::Object(fields) = json else { return };
    for (name, value) in fields {
        assert!(!name.contains('_'), "{name}");
        match name.as_str() {
            "collectedAt" | "knownFrom" | "nextAttemptAt" | "previousStateSince" => {
                let time = value.as_str().unwrap();
                assert!(
                    time.ends_with('Z') && DateTime::parse_from_rfc3339(time).is_ok(),
                    "{time}"
                );
            }
            "causePosition" => assert!(value.as_str().unwrap().parse::<u64>().is_ok()),
            "direction" => assert!(value.as_str().unwrap().starts_with("CROSSING_DIRECTION_")),
            "dataPoints" | "inputs" => value.as_array().unwrap().iter().for_each(check_canonical),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn what_is_stored_is_what_was_published(event in event()) {
        let draft = Draft::new(event.clone(), &acceptance()).unwrap();
        let stored = Event::decode(draft.encoded.clone()).unwrap();
        let expected = Event {
            event_id: draft.event_id.to_string(),
            occurred_at: Some(draft.occurred_at.into()),
            position: 0,
            recorded_at: None,
            ..event.clone()
        };
        prop_assert_eq!(&stored, &expected);

        let payload = event.payload.unwrap();
        let again = Event { payload: Some(from_json(&payload, &draft.payload_json)), ..stored };
        prop_assert_eq!(&*Draft::new(again, &acceptance()).unwrap().payload, &payload);
        if !draft.event_type.is_custom() {
            check_canonical(&serde_json::from_str(&draft.payload_json).unwrap());
        }
        prop_assert_eq!(*draft.payload, payload);
    }

    #[test]
    fn ids_and_times_keep_what_was_given_and_the_identity_rule(event in event()) {
        let draft = Draft::new(event.clone(), &acceptance()).unwrap();
        let id_time = DateTime::from_timestamp_millis(draft.event_id.timestamp_ms() as i64).unwrap();
        prop_assert!((id_time - draft.occurred_at).abs() <= ID_TIME_TOLERANCE);
        prop_assert_eq!(draft.occurred_at, draft.occurred_at.trunc_subsecs(6));
        let given = event.occurred_at.map(|at| at.to_utc().unwrap());
        match (event.event_id.as_str(), given) {
            ("", None) => {
                prop_assert_eq!(draft.occurred_at, now());
                prop_assert_eq!(id_time, now());
            }
            ("", Some(at)) => {
                prop_assert_eq!(draft.occurred_at, at.trunc_subsecs(6));
                prop_assert_eq!(id_time, at.trunc_subsecs(3));
            }
            (id, None) => {
                prop_assert_eq!(draft.event_id.to_string(), id);
                prop_assert_eq!(draft.occurred_at, id_time);
            }
            (id, Some(at)) => {
                prop_assert_eq!(draft.event_id.to_string(), id);
                prop_assert_eq!(draft.occurred_at, at.trunc_subsecs(6));
            }
        }
    }
}

#[test]
fn an_event_is_about_the_series_of_its_payload() {
    use crate::samples;
    let series = |payload| {
        Draft::new(samples::event(payload), &acceptance())
            .unwrap()
            .series_ids
    };
    assert_eq!(
        series(Payload::SeriesCollected(samples::collected())),
        ["UNRATE"]
    );
    assert_eq!(
        series(Payload::CollectionFailed(samples::failed())),
        ["UNRATE"]
    );
    assert_eq!(
        series(Payload::ThresholdCrossed(samples::crossed())),
        ["UNRATE", "VIXCLS"]
    );
    assert!(series(Payload::RegimeTransition(samples::transition())).is_empty());
    let definition = Payload::DefinitionChanged(samples::definition());
    assert_eq!(series(definition), ["UNRATE", "VIXCLS"]);
    assert!(series(Payload::AlertChanged(samples::alert())).is_empty());
    assert!(series(Payload::DeliveryChanged(samples::delivery())).is_empty());
    assert!(series(Payload::Custom(samples::custom())).is_empty());
}

#[test]
fn the_same_id_in_small_letters_is_the_same_id() {
    let given = crate::samples::event(Payload::Custom(crate::samples::custom()));
    let small = Event {
        event_id: given.event_id.to_lowercase(),
        ..given.clone()
    };
    let ids = [given, small].map(|event| Draft::new(event, &acceptance()).unwrap().event_id);
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn null_is_null_in_both_forms() {
    let json = r#"{"type":"Test","data":{"a":[null,{"b":null}]}}"#;
    let read = crate::samples::event(Payload::Custom(serde_json::from_str(json).unwrap()));
    let draft = Draft::new(read, &acceptance()).unwrap();
    assert_eq!(draft.payload_json, json);
    let null = || Value::from(());
    let inner = structure([("b".to_owned(), null())].into());
    let list = Value::from(vec![null(), Kind::StructValue(inner).into()]);
    let data = Some(structure([("a".to_owned(), list)].into()));
    let expected = Payload::Custom(CustomEvent {
        r#type: "Test".to_owned(),
        data,
    });
    assert_eq!(*draft.payload, expected);
    let stored = Event::decode(draft.encoded).unwrap();
    assert_eq!(stored.payload, Some(expected));
}
