//! Goes through encoded bytes beside the descriptor of their type.
//!
//! Decoding would find most of what is found here, but does not say where, and goes down as deep as
//! somebody nested an `Any` in others.

use std::collections::BTreeSet;

use prost::{
    DecodeError,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Syntax};

use super::{ANY_LEVELS_MAX, Misfit, NESTING_MAX, VALUES_MAX};

/// Checks that bytes are a message of a type.
pub(super) fn check(of: &MessageDescriptor, bytes: &[u8]) -> Result<(), Misfit> {
    let mut rest = bytes;
    let room = Room {
        nesting: NESTING_MAX,
        any: ANY_LEVELS_MAX,
    };
    Walk { values: 0 }.message(of, &mut rest, None, room)
}

/// What was found so far.
struct Walk {
    /// How many values, in all messages.
    values: usize,
}

/// What may still be nested.
#[derive(Clone, Copy)]
struct Room {
    nesting: usize,
    any: usize,
}

impl Room {
    fn nested(self) -> Result<Self, Misfit> {
        match self.nesting.checked_sub(1) {
            Some(nesting) => Ok(Self { nesting, ..self }),
            None => Err(Misfit::new(format!(
                "messages are nested more than {NESTING_MAX} deep"
            ))),
        }
    }

    fn any(self) -> Result<Self, Misfit> {
        match self.any.checked_sub(1) {
            Some(any) => Ok(Self { any, ..self }),
            None => Err(Misfit::new(format!(
                "google.protobuf.Any holds others more than {ANY_LEVELS_MAX} deep"
            ))),
        }
    }
}

impl Walk {
    /// Counts one more value: each takes many times its bytes once it is decoded.
    fn found_one(&mut self) -> Result<(), Misfit> {
        self.values += 1;
        match self.values <= VALUES_MAX {
            true => Ok(()),
            false => Err(Misfit::new(format!("has more than {VALUES_MAX} values"))),
        }
    }

    /// A message up to the end of the bytes, or of the group with this number.
    fn message(
        &mut self,
        of: &MessageDescriptor,
        rest: &mut &[u8],
        group: Option<u32>,
        room: Room,
    ) -> Result<(), Misfit> {
        let mut seen = BTreeSet::new();
        loop {
            if rest.is_empty() {
                match group {
                    None => break,
                    Some(_) => return Err(Misfit::new("a group does not end")),
                }
            }
            let (number, wire) = decode_key(rest).map_err(malformed)?;
            if wire == WireType::EndGroup {
                match group == Some(number) {
                    true => break,
                    false => return Err(Misfit::new("a group ends that did not begin")),
                }
            }
            let Some(field) = of.get_field(number) else {
                self.found_one()?;
                skip_field(wire, number, rest, DecodeContext::default()).map_err(malformed)?;
                continue;
            };
            if field.is_required() {
                seen.insert(number);
            }
            self.value(&field, wire, rest, room)
                .map_err(|misfit| misfit.within(field.name()))?;
        }
        // Proto3 has none.
        if of.parent_file().syntax() == Syntax::Proto2 {
            let mut missing = (of.fields())
                .filter(|field| field.is_required() && !seen.contains(&field.number()));
            if let Some(field) = missing.next() {
                return Err(Misfit::new("is required").within(field.name()));
            }
        }
        Ok(())
    }

    fn value(
        &mut self,
        field: &FieldDescriptor,
        wire: WireType,
        rest: &mut &[u8],
        room: Room,
    ) -> Result<(), Misfit> {
        let kind = field.kind();
        let expected = match field.is_group() {
            true => WireType::StartGroup,
            false => kind.wire_type(),
        };
        if wire == expected {
            return self.one(field, &kind, rest, room);
        }
        let is_packed = wire == WireType::LengthDelimited
            && field.is_list()
            && !matches!(expected, WireType::LengthDelimited | WireType::StartGroup);
        if !is_packed {
            return Err(Misfit::new(format!(
                "is encoded as {}, where {} is expected: these are bytes of another type",
                name(wire),
                name(expected)
            )));
        }
        let mut packed = delimited(rest)?;
        while !packed.is_empty() {
            self.one(field, &kind, &mut packed, room)?;
        }
        Ok(())
    }

    fn one(
        &mut self,
        field: &FieldDescriptor,
        kind: &Kind,
        rest: &mut &[u8],
        room: Room,
    ) -> Result<(), Misfit> {
        self.found_one()?;
        match kind {
            Kind::Message(of) if field.is_group() => {
                self.message(of, rest, Some(field.number()), room.nested()?)
            }
            Kind::Message(of) => {
                let inner = delimited(rest)?;
                self.message(of, &mut &*inner, None, room.nested()?)?;
                match of.full_name() == "google.protobuf.Any" {
                    true => self.any(of, inner, room.any()?),
                    false => Ok(()),
                }
            }
            Kind::String => match std::str::from_utf8(delimited(rest)?) {
                Ok(text) if text.contains('\0') => Err(Misfit::new("contains a NUL character")),
                Ok(_) => Ok(()),
                Err(_) => Err(Misfit::new("is not UTF-8")),
            },
            Kind::Bytes => delimited(rest).map(drop),
            scalar => match scalar.wire_type() {
                WireType::ThirtyTwoBit => take(rest, 4).map(drop),
                WireType::SixtyFourBit => take(rest, 8).map(drop),
                _ => decode_varint(rest).map(drop).map_err(malformed),
            },
        }
    }

    /// What an `Any` holds, if it names a type.
    fn any(&mut self, of: &MessageDescriptor, encoded: &[u8], room: Room) -> Result<(), Misfit> {
        let any = <prost_types::Any as prost::Message>::decode(encoded).map_err(malformed)?;
        if any.type_url.is_empty() && any.value.is_empty() {
            return Ok(());
        }
        let name = any.type_url.rsplit('/').next().unwrap_or_default();
        let inner = of.parent_pool().get_message_by_name(name).ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            Misfit::new(format!(
                "the type \"{name}\" is not in the same set of descriptors"
            ))
        })?;
        self.message(&inner, &mut &*any.value, None, room)
            .map_err(|misfit| misfit.within("value"))
    }
}

fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Misfit> {
    let length = decode_varint(rest).map_err(malformed)?;
    take(rest, usize::try_from(length).unwrap_or(usize::MAX))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Misfit> {
    let (taken, after) = rest
        .split_at_checked(length)
        .ok_or_else(|| Misfit::new("is cut off"))?;
    *rest = after;
    Ok(taken)
}

fn malformed(_: DecodeError) -> Misfit {
    Misfit::new("is not in the wire format")
}

fn name(wire: WireType) -> &'static str {
    match wire {
        WireType::Varint => "a varint",
        WireType::SixtyFourBit => "64 bits",
        WireType::LengthDelimited => "bytes with a length",
        WireType::StartGroup => "a group",
        WireType::EndGroup => "the end of a group",
        WireType::ThirtyTwoBit => "32 bits",
    }
}
