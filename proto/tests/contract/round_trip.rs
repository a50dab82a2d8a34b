//! What a publisher gives is what is stored, in both forms.

use atlas_events::{CustomEvent, Draft, Event, ID_TIME_TOLERANCE, event::Payload};
use chrono::{DateTime, SubsecRound};
use pbjson_types::{Value, value::Kind};
use proptest::prelude::*;
use prost::Message;
use serde_json::Value as Json;

use crate::{
    samples::{acceptance, now},
    strategies::{event, structure},
};

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
