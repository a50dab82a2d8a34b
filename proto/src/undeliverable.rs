//! Stored events that clients cannot decode, and what is delivered in their place.
//!
//! [`Draft`](crate::Draft) accepts no such event, but a log may hold one that an earlier version
//! accepted. Sent as it is, it would end the stream of every reader that comes to it.

use prost::{
    Message,
    encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint},
};

use crate::{EventType, UndeliverableEvent};

/// How deep objects and lists of a stored event may nest to be delivered. Higher than what is
/// accepted: 30 objects take 92 nested messages, which all clients decode, also within a response.
const DEPTH_MAX: usize = 30;
/// The least that one level of nesting takes: tag and length of a value and of a list.
const LEVEL_BYTES_MIN: usize = 4;
/// Fields of `Event`.
const CUSTOM: u32 = 30;
/// The first byte of `CUSTOM`: what is left of its number and type in seven bits, and that more follow.
const CUSTOM_KEY: u8 = (CUSTOM << 3 | WireType::LengthDelimited as u32) as u8 | 0x80;
const UNDELIVERABLE: u32 = 50;

/// What is delivered in place of a stored event (in the binary format, as is the result); `None` if
/// the event can be delivered as it is.
pub fn replacement(encoded: &[u8]) -> Option<Vec<u8>> {
    // Most events are too short to be too deep, or without the byte that a custom one has.
    if encoded.len() < DEPTH_MAX * LEVEL_BYTES_MIN || !encoded.contains(&CUSTOM_KEY) {
        return None;
    }
    let mut fields = Fields(encoded);
    let custom = fields.find_map(|field| field.nested(CUSTOM))?;
    if !is_deeper(Within::Custom, custom, DEPTH_MAX) {
        return None;
    }
    let mut replaced = Vec::with_capacity(encoded.len() - custom.len() + 200);
    for field in Fields(encoded).filter(|field| field.tag != CUSTOM) {
        replaced.extend_from_slice(field.whole);
    }
    let name = Fields(custom)
        .find_map(|field| field.nested(1))
        .map_or_else(String::new, |name| {
            String::from_utf8_lossy(name).into_owned()
        });
    let payload = UndeliverableEvent {
        event_type: EventType::custom(&name).as_str().to_owned(),
        reason: "NESTED_TOO_DEEP".to_owned(),
        message: format!("its data nests over {DEPTH_MAX} deep, which clients cannot decode"),
        stored_bytes: encoded.len() as u64,
    }
    .encode_to_vec();
    encode_key(UNDELIVERABLE, WireType::LengthDelimited, &mut replaced);
    encode_varint(payload.len() as u64, &mut replaced);
    replaced.extend_from_slice(&payload);
    Some(replaced)
}

/// Which message the bytes at hand are.
#[derive(Clone, Copy)]
enum Within {
    Custom,
    Struct,
    Entry,
    Value,
    List,
}

impl Within {
    /// The message in a field, and whether it is one level deeper.
    fn field(self, tag: u32) -> Option<(Self, bool)> {
        match (self, tag) {
            (Self::Custom, 2) | (Self::Value, 5) => Some((Self::Struct, true)),
            (Self::Value, 6) => Some((Self::List, true)),
            (Self::Struct, 1) => Some((Self::Entry, false)),
            (Self::Entry, 2) | (Self::List, 1) => Some((Self::Value, false)),
            _ => None,
        }
    }
}

/// Whether objects and lists in a message nest deeper than `depth_left`. No deeper recursion than
/// that: what is of interest is found by then.
fn is_deeper(within: Within, bytes: &[u8], depth_left: usize) -> bool {
    if bytes.len() < depth_left * LEVEL_BYTES_MIN {
        return false;
    }
    Fields(bytes).any(|field| {
        let Some((inner, deeper)) = within.field(field.tag) else {
            return false;
        };
        let Some(bytes) = field.nested(field.tag) else {
            return false;
        };
        match depth_left.checked_sub(usize::from(deeper)) {
            Some(depth_left) => is_deeper(inner, bytes, depth_left),
            None => true,
        }
    })
}

struct Field<'a> {
    tag: u32,
    /// With its key.
    whole: &'a [u8],
    /// Of a length-delimited one: its content.
    content: Option<&'a [u8]>,
}

impl<'a> Field<'a> {
    fn nested(&self, tag: u32) -> Option<&'a [u8]> {
        self.content.filter(|_| self.tag == tag)
    }
}

/// The fields of a message, up to the first that is malformed.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let start = self.0;
        if start.is_empty() {
            return None;
        }
        let mut rest = start;
        let (tag, wire_type) = decode_key(&mut rest).ok()?;
        let mut content = None;
        let skipped = match wire_type {
            WireType::Varint => {
                decode_varint(&mut rest).ok()?;
                0
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                content = Some(rest.get(..length)?);
                length
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        rest = rest.get(skipped..)?;
        self.0 = rest;
        let whole = &start[..start.len() - rest.len()];
        Some(Field {
            tag,
            whole,
            content,
        })
    }
}

#[cfg(test)]
mod tests {
    use pbjson_types::{ListValue, Struct, Value, value::Kind};
    use proptest::prelude::*;

    use super::*;
    use crate::{CustomEvent, Event, FindEventResponse, event::Payload};

    /// An event whose data nests `depth` deep, `data` included; lists where a bit of `lists` is set.
    fn nested(depth: usize, lists: u64) -> Event {
        let leaf = Kind::StringValue("leaf".to_owned());
        let mut value = Value { kind: Some(leaf) };
        for level in (1..depth).rev() {
            let kind = match lists >> (level % 64) & 1 {
                1 => Kind::ListValue(ListValue {
                    values: vec![value],
                }),
                _ => Kind::StructValue(object(value)),
            };
            value = Value { kind: Some(kind) };
        }
        Event {
            event_id: "01JD0000000000000000000000".to_owned(),
            source_service: "Shop".to_owned(),
            position: 7,
            payload: Some(Payload::Custom(CustomEvent {
                r#type: "OrderPlaced".to_owned(),
                data: Some(object(value)),
            })),
            ..Event::default()
        }
    }

    fn object(value: Value) -> Struct {
        Struct {
            fields: [("inner".to_owned(), value)].into_iter().collect(),
        }
    }

    /// As a client decodes it, in the response that nests it most.
    fn is_decodable(event: &[u8]) -> bool {
        let mut response = Vec::new();
        encode_key(1, WireType::LengthDelimited, &mut response);
        encode_varint(event.len() as u64, &mut response);
        response.extend_from_slice(event);
        FindEventResponse::decode(response.as_slice()).is_ok()
    }

    proptest! {
        #[test]
        fn what_is_delivered_can_be_decoded(depth in 1_usize..130, lists: u64) {
            let encoded = nested(depth, lists).encode_to_vec();
            let replaced = replacement(&encoded);
            prop_assert_eq!(replaced.is_some(), depth > DEPTH_MAX);
            prop_assert!(is_decodable(replaced.as_deref().unwrap_or(&encoded)));
        }
    }

    #[test]
    fn a_stand_in_keeps_what_identifies_the_event() {
        let event = nested(31, 0);
        let encoded = event.encode_to_vec();
        let replaced = Event::decode(replacement(&encoded).unwrap().as_slice()).unwrap();
        let stand_in = UndeliverableEvent {
            event_type: "custom:OrderPlaced".to_owned(),
            reason: "NESTED_TOO_DEEP".to_owned(),
            message: "its data nests over 30 deep, which clients cannot decode".to_owned(),
            stored_bytes: encoded.len() as u64,
        };
        let payload = Some(Payload::Undeliverable(stand_in));
        assert_eq!(replaced, Event { payload, ..event });
    }

    #[test]
    fn events_of_all_kinds_of_bytes_are_looked_through() {
        for bytes in [vec![0xff; 300], vec![0xf2; 300], vec![0; 300]] {
            assert_eq!(replacement(&bytes), None);
        }
    }
}
