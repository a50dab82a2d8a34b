//! What is found out about an encoded batch before it is decoded.

use std::collections::BTreeMap;

use atlas_events::{
    BATCH_EVENTS_MAX, CustomEvent, Event, FILE_DESCRIPTOR_SET, MESSAGE_BYTES_MAX, PublishRequest,
    event::Payload,
    wire::{BUILT_BYTES_MAX, Excess, Outline, SMALL_BYTES_MAX, outline},
};
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use proptest::{collection::vec, prelude::*};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Label};

/// Every field of an event that can be many is counted before it is built, whatever the contract gets.
#[test]
fn what_can_be_many_is_counted() {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
    let messages: BTreeMap<String, &DescriptorProto> = files
        .iter()
        .flat_map(|file| {
            let named = |message| {
                (
                    format!(".{}.{}", file.package(), DescriptorProto::name(message)),
                    message,
                )
            };
            file.message_type.iter().map(named)
        })
        .collect();
    // Numbers of fields that lead to a message, and its name.
    let mut rest = vec![(vec![1], ".atlas.events.Event".to_owned())];
    let mut tried = Vec::new();
    while let Some((path, name)) = rest.pop() {
        for field in &messages[&name].field {
            let mut path = path.clone();
            path.push(field.number().unsigned_abs());
            if field.label() == Label::Repeated {
                let mut encoded = Vec::new();
                let last = path.pop().unwrap();
                let mut one = Vec::new();
                encode_key(last, WireType::LengthDelimited, &mut one);
                encode_varint(0, &mut one);
                let count = (MESSAGE_BYTES_MAX - 100) / one.len();
                let mut inner = one.repeat(count);
                for number in path.iter().rev() {
                    encode_key(*number, WireType::LengthDelimited, &mut encoded);
                    encode_varint(inner.len() as u64, &mut encoded);
                    encoded.append(&mut inner);
                    inner = std::mem::take(&mut encoded);
                }
                let excess = outline(&inner).unwrap().excess;
                assert_eq!(excess, Some(Excess::Memory), "{name}.{}", field.name());
                tried.push(format!("{name}.{}", field.name()));
            } else if messages.contains_key(field.type_name()) {
                rest.push((path, field.type_name().to_owned()));
            }
        }
    }
    assert!(tried.len() >= 5, "{tried:?}");
}

/// A field as it can be on the wire, whether or not the contract knows it.
#[derive(Debug, Clone)]
enum Part {
    Varint(u32, u64),
    Fixed(u32, u64),
    Message(u32, Vec<Part>),
    Text(u32, String),
    Group(u32, Vec<Part>),
    Bytes(Vec<u8>),
}

fn part() -> impl Strategy<Value = Part> {
    // Those of the contract, and some that it does not have.
    let number = || prop_oneof![1u32..=7, Just(10), Just(20), Just(21), Just(30), Just(999)];
    let leaf = prop_oneof![
        4 => (number(), any::<u64>()).prop_map(|(n, v)| Part::Varint(n, v)),
        1 => (number(), any::<u64>()).prop_map(|(n, v)| Part::Fixed(n, v)),
        4 => (number(), "\\PC{0,3}").prop_map(|(n, v)| Part::Text(n, v)),
        1 => vec(any::<u8>(), 0..4).prop_map(Part::Bytes),
    ];
    leaf.prop_recursive(8, 60, 6, move |inner| {
        prop_oneof![
            6 => (number(), vec(inner.clone(), 0..6)).prop_map(|(n, v)| Part::Message(n, v)),
            1 => (number(), vec(inner, 0..4)).prop_map(|(n, v)| Part::Group(n, v)),
        ]
    })
}

fn write(parts: &[Part], to: &mut Vec<u8>) {
    let bytes = |number: &u32, bytes: &[u8], to: &mut Vec<u8>| {
        encode_key(*number, WireType::LengthDelimited, to);
        encode_varint(bytes.len() as u64, to);
        to.extend_from_slice(bytes);
    };
    for part in parts {
        match part {
            Part::Varint(number, value) => {
                encode_key(*number, WireType::Varint, to);
                encode_varint(*value, to);
            }
            Part::Fixed(number, value) => {
                encode_key(*number, WireType::SixtyFourBit, to);
                to.extend_from_slice(&value.to_le_bytes());
            }
            Part::Text(number, text) => bytes(number, text.as_bytes(), to),
            Part::Message(number, parts) => bytes(number, &written(parts), to),
            Part::Group(number, parts) => {
                encode_key(*number, WireType::StartGroup, to);
                write(parts, to);
                encode_key(*number, WireType::EndGroup, to);
            }
            Part::Bytes(raw) => to.extend_from_slice(raw),
        }
    }
}

fn written(parts: &[Part]) -> Vec<u8> {
    let mut to = Vec::new();
    write(parts, &mut to);
    to
}

/// An event with lists and objects, and what the contract does not know beside them.
fn event(unknown: Vec<Part>) -> Part {
    let value = Part::Message(6, vec![Part::Message(1, vec![Part::Varint(1, 0)])]);
    let entry = Part::Message(
        1,
        vec![Part::Text(1, "a".into()), Part::Message(2, vec![value])],
    );
    let custom = Part::Message(30, vec![Part::Message(2, vec![entry])]);
    Part::Message(1, unknown.into_iter().chain([custom]).collect())
}

proptest! {
    #[test]
    fn what_can_be_decoded_is_decoded_as_it_was(parts in vec(part(), 0..8)) {
        let encoded = written(&parts);
        match (outline(&encoded), PublishRequest::decode(&*encoded)) {
            (Ok(outline), Ok(decoded)) => {
                let expected = Outline {
                    events: decoded.events.len(),
                    continue_after_refusal: decoded.continue_after_refusal,
                    excess: None,
                };
                prop_assert_eq!(outline, expected);
            }
            (Err(problem), Ok(decoded)) => prop_assert!(false, "{problem}: {decoded:?}"),
            // What is no text, or has a known number and another type, only decoding finds.
            (_, Err(_)) => {}
        }
    }

    #[test]
    fn too_many_events_are_counted_wherever_they_are(
        unknown in vec((0usize..1_500, 100u32..999, any::<bool>()), 0..20),
        flags in vec((0usize..1_500, any::<bool>()), 0..3),
        count in 995usize..1_005,
    ) {
        let mut parts: Vec<Part> = (0..count).map(|_| event(Vec::new())).collect();
        for (place, number, is_group) in unknown {
            let inner = vec![Part::Message(1, Vec::new()), Part::Varint(2, 1)];
            let unknown = match is_group {
                true => Part::Group(number, inner),
                false => Part::Message(number, inner),
            };
            parts.insert(place.min(parts.len()), unknown);
        }
        for (place, flag) in flags {
            parts.insert(place.min(parts.len()), Part::Varint(2, flag.into()));
        }
        let encoded = written(&parts);
        let decoded = PublishRequest::decode(&*encoded).unwrap();
        prop_assert_eq!(decoded.events.len(), count);
        let expected = Outline {
            events: count,
            continue_after_refusal: decoded.continue_after_refusal,
            excess: (count > BATCH_EVENTS_MAX).then_some(Excess::Events),
        };
        prop_assert_eq!(outline(&encoded).unwrap(), expected);
    }
}

#[test]
fn what_nests_too_deep_or_ends_too_soon_is_malformed_to_both() {
    let nested = |depth: usize| {
        let value = (0..depth).fold(Value { kind: None }, |inner, _| {
            let values = vec![inner];
            Value {
                kind: Some(Kind::ListValue(ListValue { values })),
            }
        });
        batch(vec![custom(value)])
    };
    let groups = |depth: usize| {
        let start = [0xbb, 0x06].repeat(depth);
        let end = [0xbc, 0x06].repeat(depth);
        [start, end].concat()
    };
    // Only what is this long is looked into.
    let padding = around(&[999], vec![0; BUILT_BYTES_MAX / 512]);
    for depth in 1..110 {
        for encoded in [nested(depth), groups(depth)] {
            let encoded = [&*padding, &*encoded].concat();
            let decoded = PublishRequest::decode(&*encoded).is_ok();
            assert_eq!(outline(&encoded).is_ok(), decoded, "{depth}");
        }
    }
    let whole = [padding.clone(), nested(3)].concat();
    for end in padding.len() + 1..whole.len() {
        assert!(outline(&whole[..end]).is_err(), "{end}");
    }
}

/// As dear as two or three bytes can be, at every level at which something can be many.
#[test]
fn what_is_small_is_within_every_bound() {
    let paths: [&[u32]; 7] = [
        &[1],
        &[1, 10, 2],
        &[1, 20, 6],
        &[1, 20, 9],
        &[1, 30, 2, 1],
        &[1, 30, 2, 1, 2, 5, 1],
        &[1, 30, 2, 1, 2, 6, 1],
    ];
    for path in paths {
        for (level, key) in path.iter().enumerate() {
            let one = around(&path[level..], Vec::new());
            let rest: usize =
                around(&path[..level], vec![0; SMALL_BYTES_MAX]).len() - SMALL_BYTES_MAX;
            let many = one.repeat((SMALL_BYTES_MAX - rest) / one.len());
            let encoded = around(&path[..level], many);
            assert!(encoded.len() <= SMALL_BYTES_MAX);
            assert!(encoded.len() > SMALL_BYTES_MAX / 2);
            let excess = outline(&encoded).unwrap().excess;
            assert_eq!(excess, None, "{path:?} from {key} on");
        }
    }
    let one_more = around(&[1], Vec::new()).repeat(SMALL_BYTES_MAX / 2 + 1);
    assert_eq!(outline(&one_more).unwrap().excess, Some(Excess::Events));
}

fn custom(value: Value) -> Event {
    let fields = [("v".to_owned(), value)].into();
    Event {
        payload: Some(Payload::Custom(CustomEvent {
            r#type: "T".to_owned(),
            data: Some(Struct { fields }),
        })),
        ..Event::default()
    }
}

fn batch(events: Vec<Event>) -> Vec<u8> {
    let request = PublishRequest {
        events,
        ..PublishRequest::default()
    };
    request.encode_to_vec()
}

/// A batch of one event, by the numbers of the fields around `inner`; nothing is built, so that what
/// the process holds afterwards is what decoding takes.
fn around(path: &[u32], inner: Vec<u8>) -> Vec<u8> {
    path.iter().rev().fold(inner, |inner, number| {
        let mut outer = Vec::with_capacity(inner.len() + 16);
        encode_key(*number, WireType::LengthDelimited, &mut outer);
        encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    })
}

/// The list of a custom event's only entry.
const LIST: &[u32] = &[1, 30, 2, 1, 2, 6];

fn nulls(count: usize) -> Vec<u8> {
    around(LIST, [0x0a, 0].repeat(count))
}

fn objects_of_one(count: usize) -> Vec<u8> {
    around(LIST, around(&[1, 5, 1], Vec::new()).repeat(count))
}

fn lists_of_one(count: usize) -> Vec<u8> {
    around(LIST, around(&[1, 6, 1], Vec::new()).repeat(count))
}

fn texts(count: usize) -> Vec<u8> {
    around(LIST, around(&[1, 3], b"a".to_vec()).repeat(count))
}

fn named(number: u32, count: usize) -> Vec<u8> {
    let named = (0..count).map(|n| {
        let name = around(&[1], format!("{n:x}").into_bytes());
        around(&[number], [name, around(&[2], Vec::new())].concat())
    });
    named.flatten().collect()
}

fn entries(count: usize) -> Vec<u8> {
    around(&[1, 30, 2], named(1, count))
}

fn labels(count: usize) -> Vec<u8> {
    around(&[1, 20], named(6, count))
}

fn points(count: usize) -> Vec<u8> {
    let texts = [around(&[1], b"d".to_vec()), around(&[2], b"1".to_vec())];
    around(&[1, 10], around(&[2], texts.concat()).repeat(count))
}

/// The largest of its kind that is let through, to the thousand, takes no more than said.
#[track_caller]
fn check(make: fn(usize) -> Vec<u8>) {
    let is_over = |count| outline(&make(count)).unwrap().excess.is_some();
    let (mut within, mut over) = (0, 1_024);
    while over - within > 1 {
        let between = (within + over) / 2;
        match is_over(between * 1_000) {
            true => over = between,
            false => within = between,
        }
    }
    assert!(over < 1_024, "there is no bound");
    let encoded = make(within * 1_000);
    let before = resident_bytes();
    let decoded = PublishRequest::decode(&*encoded).unwrap();
    let built = resident_bytes().saturating_sub(before);
    drop(decoded);
    let shown = format!("{built} of {} for {}", BUILT_BYTES_MAX, encoded.len());
    assert!(built < BUILT_BYTES_MAX, "{shown}");
    // Nor is what takes little refused.
    assert!(built > BUILT_BYTES_MAX / 5, "{shown}");
}

/// What the process has in memory, as the system reports it.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

#[test]
fn nulls_take_no_more_memory_than_said() {
    check(nulls);
}

#[test]
fn objects_of_one_take_no_more_memory_than_said() {
    check(objects_of_one);
}

#[test]
fn lists_of_one_take_no_more_memory_than_said() {
    check(lists_of_one);
}

#[test]
fn texts_take_no_more_memory_than_said() {
    check(texts);
}

#[test]
fn entries_take_no_more_memory_than_said() {
    check(entries);
}

#[test]
fn labels_take_no_more_memory_than_said() {
    check(labels);
}

#[test]
fn points_take_no_more_memory_than_said() {
    check(points);
}
