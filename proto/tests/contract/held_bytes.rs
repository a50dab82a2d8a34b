//! What an event takes in memory while it waits to be stored.

use atlas_events::{
    Acceptance, CustomEvent, DataPoint, Draft, Event, SeriesCollectedEvent, event::Payload,
};
use chrono::{DateTime, Utc};
use pbjson_types::{ListValue, Struct, Value, value::Kind};

/// Enough that what the process holds otherwise does not matter.
const MEASURED_BYTES: usize = 40_000_000;

fn event(payload: Payload) -> Event {
    Event {
        source_service: "test".to_owned(),
        payload: Some(payload),
        ..Event::default()
    }
}

fn custom(value: Value) -> Event {
    event(Payload::Custom(CustomEvent {
        r#type: "Test".to_owned(),
        data: Some(Struct {
            fields: [("values".to_owned(), value)].into(),
        }),
    }))
}

fn of_kind(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn nulls() -> Event {
    let values = vec![of_kind(Kind::NullValue(0)); 1_000];
    custom(of_kind(Kind::ListValue(ListValue { values })))
}

fn names() -> Event {
    let field = |n: u32| (format!("field {n}"), of_kind(Kind::BoolValue(true)));
    let fields = (0..300).map(field).collect();
    custom(of_kind(Kind::StructValue(Struct { fields })))
}

fn long_text() -> Event {
    custom(of_kind(Kind::StringValue("x".repeat(5_000))))
}

fn points() -> Event {
    let date = |n: u32| format!("{}-01-01", 1_000 + n);
    let data_points = (0..500).map(|n| DataPoint {
        date: date(n),
        value: Some("1.5".to_owned()),
        known_from: None,
    });
    event(Payload::SeriesCollected(SeriesCollectedEvent {
        series_id: "S".to_owned(),
        data_points: data_points.collect(),
        collected_at: None,
        release_part: None,
    }))
}

/// What the process has in memory, as the system reports it.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

#[test]
fn the_size_of_drafts_is_estimated_within_a_third() {
    let acceptance = Acceptance::new(Utc::now(), DateTime::UNIX_EPOCH);
    let kinds: [fn() -> Event; 4] = [nulls, names, long_text, points];
    for (kind, make) in kinds.into_iter().enumerate() {
        let draft = || Draft::new(make(), &acceptance).unwrap();
        let each = draft().held_bytes();
        let count = MEASURED_BYTES / each;
        let before = resident_bytes();
        let drafts: Vec<Draft> = (0..count).map(|_| draft()).collect();
        let held = resident_bytes() - before;
        let estimated: usize = drafts.iter().map(Draft::held_bytes).sum();
        let off = estimated as f64 / held as f64;
        let encoded = drafts[0].encoded.len();
        assert!(
            (0.67..1.5).contains(&off),
            "kind {kind}: {off}, {encoded} encoded"
        );
        // What was freed is not to be used again by the next kind.
        std::mem::forget(drafts);
    }
}
