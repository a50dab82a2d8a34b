//! Batches as they arrive: their bounds are kept before anything is built from them.

use std::marker::PhantomData;

use access::Access;
use atlas_events::{
    BATCH_EVENTS_MAX, Event, PublishRequest,
    wire::{BUILT_BYTES_MAX, Excess, Outline, SMALL_BYTES_MAX, outline},
};
use bytes::{Buf, Bytes};
use prost::Message;
use tonic::{
    Code, Status,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::{ProstCodec, ProstEncoder};

use crate::status::Refusal;

/// A batch that arrived.
#[derive(Debug)]
pub(crate) struct IncomingBatch {
    /// Its events, or why they were not even built.
    pub(crate) events: Result<Vec<Event>, Refusal>,
    /// As the message says.
    pub(crate) continue_after_refusal: bool,
    /// As the message says, if its events were built.
    pub(crate) heartbeat_interval: Option<pbjson_types::Duration>,
}

impl IncomingBatch {
    /// Reads the message of a caller.
    ///
    /// # Errors
    /// It cannot be decoded; the status is in the transport's words.
    pub(crate) fn read(encoded: &[u8], access: &Access) -> Result<Self, Status> {
        let denied = access.check_batch_bytes(encoded.len()).err();
        // Most messages of pipelined publishers are small: these are read once only.
        if denied.is_some() || encoded.len() > SMALL_BYTES_MAX {
            let outline = outline(encoded);
            let outline = outline.map_err(|problem| Status::internal(problem.to_string()))?;
            if let Some(refusal) = excess(&outline).or(denied.map(Refusal::denied)) {
                return Ok(Self {
                    events: Err(refusal),
                    continue_after_refusal: outline.continue_after_refusal,
                    heartbeat_interval: None,
                });
            }
        }
        let request = PublishRequest::decode(encoded);
        let request = request.map_err(|problem| Status::internal(problem.to_string()))?;
        Ok(Self {
            events: Ok(request.events),
            continue_after_refusal: request.continue_after_refusal,
            heartbeat_interval: request.heartbeat_interval,
        })
    }

    /// How many events there are, of those that were built.
    pub(crate) fn count(&self) -> usize {
        self.events.as_ref().map_or(0, Vec::len)
    }
}

/// Why a batch is not even built.
fn excess(outline: &Outline) -> Option<Refusal> {
    let refuse = |message: String| {
        Refusal::new(Code::ResourceExhausted, "BATCH_TOO_LARGE", message).at("events")
    };
    Some(match outline.excess? {
        Excess::Events => {
            let count = outline.events;
            let message =
                format!("events: {count} in one batch are more than the limit, {BATCH_EVENTS_MAX}");
            refuse(message).with("events_max", BATCH_EVENTS_MAX)
        }
        Excess::Memory => {
            let most = BUILT_BYTES_MAX / 1024 / 1024;
            let message = format!(
                "events: what they hold takes more than {most} MiB of memory; publish fewer at once"
            );
            refuse(message).with("memory_bytes_max", BUILT_BYTES_MAX)
        }
    })
}

/// The codec of the publisher. `T` is what it answers.
///
/// Messages stay encoded, because the transport waits for the end of a call behind its message: a client
/// that does not end its call must not hold what is built from it.
#[derive(Debug)]
pub(crate) struct BatchCodec<T>(PhantomData<fn() -> T>);

impl<T> Default for BatchCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static> Codec for BatchCodec<T> {
    type Encode = T;
    type Decode = Bytes;
    type Encoder = ProstEncoder<T>;
    type Decoder = Encoded;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, ()>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        Encoded
    }
}

/// Takes messages as they are.
#[derive(Debug)]
pub(crate) struct Encoded;

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        // The transport has the message in one piece; this copies nothing.
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
