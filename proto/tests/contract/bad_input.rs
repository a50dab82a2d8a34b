//! Each rule of the contract, broken: the violation names the field and says what is wrong.

mod of_alerts;
mod of_the_engine;

use atlas_events::{
    CaughtUp, DataPoint, Draft, EVENT_BYTES_MAX, Event, FellBehind, Heartbeat, ReleasePart,
    Timestamp, WantedEvents, event::Payload,
};
use chrono::TimeDelta;
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use proptest::prelude::*;
use prost::Message;

use crate::samples::{
    acceptance, collected, crossed, custom, event, failed, id_at, input, no_time, now, point,
    transition,
};

/// The event is refused because of `field`, and the message says `why`.
#[track_caller]
fn check(event: Event, field: &str, why: &str) {
    let violation = Draft::new(event, &acceptance()).unwrap_err();
    assert_eq!(violation.field, field, "{violation}");
    assert!(violation.problem.contains(why), "{violation}");
}

#[track_caller]
fn accepted(event: Event) -> Draft {
    Draft::new(event, &acceptance()).unwrap()
}

/// An event that collected a series, after a change.
fn with_collected(change: impl FnOnce(&mut atlas_events::SeriesCollectedEvent)) -> Event {
    let mut payload = collected();
    change(&mut payload);
    event(Payload::SeriesCollected(payload))
}

fn with_failed(change: impl FnOnce(&mut atlas_events::CollectionFailedEvent)) -> Event {
    let mut payload = failed();
    change(&mut payload);
    event(Payload::CollectionFailed(payload))
}

fn with_crossed(change: impl FnOnce(&mut atlas_events::ThresholdCrossedEvent)) -> Event {
    let mut payload = crossed();
    change(&mut payload);
    event(Payload::ThresholdCrossed(payload))
}

fn with_transition(change: impl FnOnce(&mut atlas_events::RegimeTransitionEvent)) -> Event {
    let mut payload = transition();
    change(&mut payload);
    event(Payload::RegimeTransition(payload))
}

fn with_definition(change: impl FnOnce(&mut atlas_events::DefinitionChangedEvent)) -> Event {
    let mut payload = crate::samples::definition();
    change(&mut payload);
    event(Payload::DefinitionChanged(payload))
}

fn with_alert(change: impl FnOnce(&mut atlas_events::AlertChangedEvent)) -> Event {
    let mut payload = crate::samples::alert();
    change(&mut payload);
    event(Payload::AlertChanged(payload))
}

fn with_delivery(change: impl FnOnce(&mut atlas_events::DeliveryChangedEvent)) -> Event {
    let mut payload = crate::samples::delivery();
    change(&mut payload);
    event(Payload::DeliveryChanged(payload))
}

fn of_type(name: &str) -> Event {
    let mut payload = custom();
    name.clone_into(&mut payload.r#type);
    event(Payload::Custom(payload))
}

fn with_data(key: &str, kind: Option<Kind>) -> Event {
    let fields = [(key.to_owned(), Value { kind })].into_iter().collect();
    let mut payload = custom();
    payload.data = Some(Struct { fields });
    event(Payload::Custom(payload))
}

fn with_id(event_id: &str) -> Event {
    Event {
        event_id: event_id.to_owned(),
        ..with_collected(|_| {})
    }
}

fn occurring(at: Option<Timestamp>) -> Event {
    Event {
        event_id: String::new(),
        occurred_at: at,
        ..with_collected(|_| {})
    }
}

fn from(source_service: &str) -> Event {
    Event {
        source_service: source_service.to_owned(),
        ..with_collected(|_| {})
    }
}

fn paid(payload: Option<Payload>) -> Event {
    Event {
        payload,
        ..with_collected(|_| {})
    }
}

#[test]
fn ids() {
    check(with_id("not a ulid"), "event_id", "is not a ULID");
    check(
        with_id("01HX0000000000000000000000X"),
        "event_id",
        "is not a ULID",
    );
    check(
        with_id("01HX000000000000000000000"),
        "event_id",
        "is not a ULID",
    );
    check(
        with_id("01HXU000000000000000000000"),
        "event_id",
        "is not a ULID",
    );
    check(
        with_id("01HX000000000000000000000é"),
        "event_id",
        "is not a ULID",
    );
    // One more than the greatest ULID.
    check(
        with_id("80000000000000000000000000"),
        "event_id",
        "is not a ULID",
    );
}

#[test]
fn an_id_whose_time_is_another() {
    let tolerance = TimeDelta::hours(1);
    let instant = TimeDelta::milliseconds(1);
    for apart in [
        tolerance + instant,
        -tolerance - instant,
        TimeDelta::days(200),
    ] {
        check(
            with_id(&id_at(now() + apart)),
            "event_id",
            "more than one hour",
        );
    }
    for apart in [tolerance, -tolerance] {
        accepted(with_id(&id_at(now() + apart)));
    }
}

#[test]
fn times() {
    let (earliest, latest) = (acceptance().earliest, now() + TimeDelta::hours(1));
    let instant = TimeDelta::microseconds(1);
    check(
        occurring(Some((earliest - instant).into())),
        "occurred_at",
        "older than the log keeps",
    );
    check(
        occurring(Some((latest + instant).into())),
        "occurred_at",
        "ahead of the server's clock",
    );
    accepted(occurring(Some(earliest.into())));
    accepted(occurring(Some(latest.into())));
    for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (i64::MAX, 0), (i64::MIN, 0)] {
        let timestamp = Timestamp { seconds, nanos };
        check(occurring(Some(timestamp)), "occurred_at", "is not a time");
    }
    // What the id says of the time is judged alike.
    let only_id = |at| Event {
        event_id: id_at(at),
        ..occurring(None)
    };
    let too_old = earliest - TimeDelta::milliseconds(1);
    check(only_id(too_old), "occurred_at", "older than the log keeps");
    let too_new = latest + TimeDelta::milliseconds(1);
    check(
        only_id(too_new),
        "occurred_at",
        "ahead of the server's clock",
    );
}

#[test]
fn sources() {
    check(from(""), "source_service", "is required");
    check(
        from(&"x".repeat(101)),
        "source_service",
        "more than 100 characters",
    );
    check(from("a\0b"), "source_service", "NUL");
    accepted(from(&"é".repeat(100)));
    let traced = Event {
        traceparent: "x".repeat(101),
        ..from("a")
    };
    check(traced, "traceparent", "more than 100 characters");
}

#[test]
fn payloads_that_cannot_be_stored() {
    check(paid(None), "payload", "is missing or of an unknown kind");
    let (beat, up, behind) = (
        Heartbeat::default(),
        CaughtUp::default(),
        FellBehind::default(),
    );
    check(paid(Some(Payload::Heartbeat(beat))), "payload", "marker");
    check(paid(Some(Payload::CaughtUp(up))), "payload", "marker");
    check(paid(Some(Payload::FellBehind(behind))), "payload", "marker");
    // A payload of a later version of the contract: field 99, a message of two bytes.
    let mut bytes = paid(None).encode_to_vec();
    bytes.extend([0x9a, 0x06, 2, 8, 1]);
    check(
        Event::decode(bytes.as_slice()).unwrap(),
        "payload",
        "unknown kind",
    );
    let large = with_data("text", Some(Kind::StringValue("x".repeat(EVENT_BYTES_MAX))));
    check(large, "payload", "over 1048576 bytes");
}

#[test]
fn values() {
    let valued = |value: &str| with_collected(|c| c.data_points[1].value = Some(value.to_owned()));
    let field = "series_collected.data_points[1].value";
    for value in [
        "NaN",
        "inf",
        "-Infinity",
        "",
        ".",
        "1e5",
        "1,5",
        " 1",
        "0x1",
        "1.",
        ".5",
    ] {
        check(valued(value), field, "is not a finite decimal");
    }
    check(valued(&"9".repeat(29)), field, "28 significant digits");
    accepted(valued(&"9".repeat(28)));
    let mut nan = Some("NaN".to_owned());
    check(
        with_crossed(|c| c.value.clone_from(&nan)),
        "threshold_crossed.value",
        "decimal",
    );
    check(
        with_crossed(|c| c.threshold.clone_from(&nan)),
        "threshold_crossed.threshold",
        "decimal",
    );
    let field = "threshold_crossed.inputs[2].value";
    check(
        with_crossed(|c| c.inputs[2].value.clone_from(&nan)),
        field,
        "decimal",
    );
    check(
        with_transition(|t| t.score = nan.take()),
        "regime_transition.score",
        "decimal",
    );
}

#[test]
fn series_ids() {
    let long = "x".repeat(51);
    for (id, why) in [
        ("", "is required"),
        (long.as_str(), "more than 50 characters"),
        ("a\0", "NUL"),
        ("a\n", "control character"),
    ] {
        let collected = with_collected(|c| id.clone_into(&mut c.series_id));
        check(collected, "series_collected.series_id", why);
        let failed = with_failed(|f| id.clone_into(&mut f.series_id));
        check(failed, "collection_failed.series_id", why);
        let crossed = with_crossed(|c| c.inputs[1] = input(id));
        check(crossed, "threshold_crossed.inputs[1].series_id", why);
        let violation = WantedEvents::new(Vec::new(), vec!["A".to_owned(), id.to_owned()]);
        assert_eq!(violation.unwrap_err().field, "series_ids[1]");
    }
    accepted(with_collected(|c| c.series_id = "x".repeat(50)));
}

#[test]
fn data_points() {
    let points = |points: Vec<DataPoint>| with_collected(|c| c.data_points = points);
    check(
        points(Vec::new()),
        "series_collected.data_points",
        "is empty",
    );
    for date in [
        "",
        "2024",
        "2024-02-30",
        "2024-13-01",
        "2024-1-1",
        "2024- 1-01",
        "24-01-0001",
        "+024-01-01",
        "2024-01-01T00:00",
        "2024/01/01",
        "0000-00-00",
        "12024-1-01",
    ] {
        let field = "series_collected.data_points[0].date";
        check(
            points(vec![point(date, None)]),
            field,
            "is not a calendar date",
        );
    }
    let twice = vec![
        point("2024-05-01", Some("1")),
        point("2024-05-01", Some("2")),
    ];
    check(
        points(twice.clone()),
        "series_collected.data_points[1].date",
        "repeats",
    );
    let mut revised = twice;
    // The first was known from when the event occurred.
    revised[1].known_from = Some(now().into());
    check(
        points(revised.clone()),
        "series_collected.data_points[1].date",
        "repeats",
    );
    revised[1].known_from = Some((now() - TimeDelta::hours(1)).into());
    accepted(points(revised.clone()));
    revised[1].known_from = no_time();
    check(
        points(revised),
        "series_collected.data_points[1].known_from",
        "is not a time",
    );
    let collected = with_collected(|c| c.collected_at = no_time());
    check(collected, "series_collected.collected_at", "is not a time");
}

#[test]
fn parts_of_releases() {
    let known_from = Some((now() - TimeDelta::hours(1)).into());
    let part = |number, count, known: [Option<Timestamp>; 2]| {
        with_collected(|collected| {
            collected.release_part = Some(ReleasePart { number, count });
            for (point, known_from) in collected.data_points.iter_mut().zip(known) {
                point.known_from = known_from;
            }
        })
    };
    let alike = [known_from; 2];
    for (number, count) in [(1, 2), (2, 2), (1_000, 1_000)] {
        accepted(part(number, count, alike));
    }
    for (number, count) in [(1, 0), (1, 1), (1, 1_001), (1, u32::MAX)] {
        check(
            part(number, count, alike),
            "series_collected.release_part.count",
            "is not 2 to 1000",
        );
    }
    for (number, count) in [(0, 2), (3, 2), (u32::MAX, 2)] {
        check(
            part(number, count, alike),
            "series_collected.release_part.number",
            "is not 1 to count",
        );
    }
    for (known, index, why) in [
        ([None, None], 0, "is missing"),
        ([known_from, None], 1, "is missing"),
        ([known_from, Some(now().into())], 1, "differs within a part"),
    ] {
        let field = format!("series_collected.data_points[{index}].known_from");
        check(part(1, 2, known), &field, why);
    }
}

#[test]
fn failures() {
    check(
        with_failed(|f| f.error_code.clear()),
        "collection_failed.error_code",
        "is required",
    );
    let wordy = with_failed(|f| f.error_message = "x".repeat(10_001));
    check(
        wordy,
        "collection_failed.error_message",
        "more than 10000 characters",
    );
    let late = with_failed(|f| f.next_attempt_at = no_time());
    check(late, "collection_failed.next_attempt_at", "is not a time");
}

#[test]
fn custom_events() {
    check(of_type(""), "custom.type", "is required");
    check(
        of_type(&"x".repeat(101)),
        "custom.type",
        "more than 100 characters",
    );
    for name in ["1Order", "_Order", "Order placed", "Örder", "a:b", "a\0"] {
        check(of_type(name), "custom.type", "");
    }
    check(
        of_type("SeriesCollectedEvent"),
        "custom.type",
        "platform's own",
    );
    check(of_type("CustomEvent"), "custom.type", "platform's own");
    accepted(of_type("order.placed_v2-beta"));

    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let kind = Kind::NumberValue(number);
        check(
            with_data("a", Some(kind.clone())),
            "custom.data.a",
            "NaN or an infinite number",
        );
        let list = ListValue {
            values: vec![Value { kind: Some(kind) }],
        };
        let nested = with_data("a", Some(Kind::ListValue(list)));
        check(nested, "custom.data.a", "NaN or an infinite number");
    }
    check(
        with_data("a", Some(Kind::StringValue("\0".to_owned()))),
        "custom.data.a",
        "NUL",
    );
    check(
        with_data("\0", Some(Kind::BoolValue(true))),
        "custom.data",
        "NUL",
    );
    let value = Value {
        kind: Some(Kind::BoolValue(true)),
    };
    let inner = Struct {
        fields: [("\0".to_owned(), value)].into_iter().collect(),
    };
    check(
        with_data("a", Some(Kind::StructValue(inner))),
        "custom.data.a",
        "NUL",
    );
}

proptest! {
    /// Whatever bytes come over the wire: a draft or a violation, never a panic.
    #[test]
    fn any_message_is_judged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(event) = Event::decode(bytes.as_slice()) {
            let _ = Draft::new(event, &acceptance());
        }
    }

    #[test]
    fn any_id_and_time_are_judged(id in "[0-9A-Za-z]{26}", seconds: i64, nanos: i32) {
        let judged = Event { event_id: id, ..occurring(Some(Timestamp { seconds, nanos })) };
        let _ = Draft::new(judged.clone(), &acceptance());
        let _ = Draft::new(Event { occurred_at: None, ..judged.clone() }, &acceptance());
        let _ = Draft::new(Event { event_id: String::new(), ..judged }, &acceptance());
    }
}
