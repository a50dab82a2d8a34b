//! The contract of ATLAS: the messages and services of `atlas.events`, the names of event types,
//! the rules that an event must keep to be stored, and the proto3 JSON mapping.
//!
//! This crate knows neither databases nor transports; every other crate may depend on it.

mod any;
mod clock;
mod data_point;
mod decimal;
mod draft;
mod event_type;
mod filter;
mod held;
mod rules;
mod text;
mod timestamp;
mod undeliverable;
pub mod wire;

pub use any::Any;
pub use clock::Clock;
pub use decimal::parse_decimal;
pub use draft::{Acceptance, Draft, ID_TIME_TOLERANCE, RegisteredTypes, parse_event_id};
pub use event_type::{EventType, KNOWN_EVENT_TYPES};
pub use filter::{EventFilter, WantedEvents};
pub use generated::*;
pub use rules::{DATA_DEPTH_MAX, RELEASE_PARTS_MAX};
pub use text::{Violation, clip};
pub use timestamp::Timestamp;
pub use undeliverable::replacement;

/// The contract as a serialised `google.protobuf.FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// At most this many events in one publish.
pub const BATCH_EVENTS_MAX: usize = 1_000;
/// At most this many bytes in one request message.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// At most this many bytes in one encoded event.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// At most this many characters in a series id.
pub const SERIES_ID_CHARS_MAX: usize = 50;
/// A character that no series id holds, as they have no control characters.
pub const SERIES_ID_SEPARATOR: char = '\u{1f}';

#[expect(
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated; the contract holds the documentation"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/atlas.events.rs"));
    include!(concat!(env!("OUT_DIR"), "/atlas.events.serde.rs"));
}
