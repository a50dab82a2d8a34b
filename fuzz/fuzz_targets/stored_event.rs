//! Custom events that an earlier version may have stored, which had no bound on how deep they nest: they
//! are delivered, or something in their place is. Each byte of the input opens or closes an object or a
//! list, or adds a value.
#![no_main]

use atlas_events::{CustomEvent, Event, event::Payload};
use libfuzzer_sys::fuzz_target;
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use prost::Message;

/// What is dropped is dropped by recursion.
const DEPTH_MAX: usize = 500;

fn nested(bytes: &mut impl Iterator<Item = u8>, depth: usize) -> Vec<(String, Value)> {
    let mut fields = Vec::new();
    while let Some(byte) = bytes.next() {
        let kind = match byte {
            0 => break,
            1..64 if depth < DEPTH_MAX => {
                let fields = nested(bytes, depth + 1).into_iter().collect();
                Kind::StructValue(Struct { fields })
            }
            64..128 if depth < DEPTH_MAX => {
                let values = nested(bytes, depth + 1).into_iter().map(|(_, value)| value);
                Kind::ListValue(ListValue { values: values.collect() })
            }
            byte if byte % 2 == 0 => Kind::StringValue("x".repeat(byte.into())),
            byte => Kind::NumberValue(byte.into()),
        };
        fields.push((byte.to_string(), Value { kind: Some(kind) }));
    }
    fields
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter().copied();
    let custom = CustomEvent {
        r#type: "Deep".to_owned(),
        data: Some(Struct { fields: nested(&mut bytes, 1).into_iter().collect() }),
    };
    let event = Event {
        position: 7,
        source_service: "fuzz".to_owned(),
        payload: Some(Payload::Custom(custom)),
        ..Event::default()
    };
    let stored = event.encode_to_vec();
    let replacement = atlas_events::replacement(&stored);
    let delivered = replacement.as_deref().unwrap_or(&stored);
    let read = Event::decode(delivered).expect("what is delivered can be decoded");
    assert_eq!(read.position, event.position);
    assert!(atlas_events::replacement(delivered).is_none(), "a replacement can be delivered");
});
