//! A subscription that decodes nothing but what proves order: what a relay would do with events.

use atlas_events::SubscriptionRequest;
use prost::{
    bytes::Buf,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;

/// Field numbers of `Event` and of a timestamp.
const OCCURRED_AT_FIELD: u32 = 2;
const POSITION_FIELD: u32 = 4;
const SECONDS_FIELD: u32 = 1;
const NANOS_FIELD: u32 = 2;

/// What is read of an event that is not decoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    pub(crate) position: u64,
    /// Microseconds since the Unix epoch.
    pub(crate) occurred_at_us: u64,
}

impl Scanned {
    pub(crate) fn read(buffer: &mut impl Buf) -> Result<Self, prost::DecodeError> {
        let mut scanned = Self::default();
        while buffer.has_remaining() {
            match decode_key(buffer)? {
                (POSITION_FIELD, WireType::Varint) => scanned.position = decode_varint(buffer)?,
                (OCCURRED_AT_FIELD, WireType::LengthDelimited) => {
                    scanned.occurred_at_us = timestamp_us(buffer)?;
                }
                (tag, wire_type) => skip_field(wire_type, tag, buffer, DecodeContext::default())?,
            }
        }
        Ok(scanned)
    }
}

fn timestamp_us(buffer: &mut impl Buf) -> Result<u64, prost::DecodeError> {
    let length = decode_varint(buffer)? as usize;
    let end = buffer.remaining().saturating_sub(length);
    let mut us = 0;
    while buffer.remaining() > end {
        match decode_key(buffer)? {
            (SECONDS_FIELD, WireType::Varint) => us += decode_varint(buffer)? * 1_000_000,
            (NANOS_FIELD, WireType::Varint) => us += decode_varint(buffer)? / 1_000,
            (tag, wire_type) => skip_field(wire_type, tag, buffer, DecodeContext::default())?,
        }
    }
    Ok(us)
}

#[derive(Debug, Default)]
pub(crate) struct ScanCodec;

impl Codec for ScanCodec {
    type Encode = SubscriptionRequest;
    type Decode = Scanned;
    type Encoder = ProstEncoder<SubscriptionRequest>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for ScanCodec {
    type Item = Scanned;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Scanned>, Status> {
        let scanned = Scanned::read(buffer);
        scanned
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::load::message;

    #[test]
    fn scanning_finds_what_decoding_finds() {
        let mut event = message::event(5, 1_790_000_000_123_456);
        event.position = 300;
        let expected = Scanned {
            position: 300,
            occurred_at_us: 1_790_000_000_123_456,
        };
        let mut encoded = event.encode_to_vec().as_slice().to_owned();
        assert_eq!(Scanned::read(&mut encoded.as_slice()), Ok(expected));
        encoded.truncate(encoded.len() - 1);
        assert!(Scanned::read(&mut encoded.as_slice()).is_err());
    }
}
