//! Registered protobuf types: descriptors that somebody uploaded, whether a version of them is
//! compatible with those before, and payloads of these types.
//!
//! This crate knows neither databases nor transports.

mod compatibility;
mod payload;
mod registry;
mod set;

pub use compatibility::{Break, Mode, Rule};
pub use payload::{ANY_LEVELS_MAX, Misfit, NESTING_MAX, TypedPayload};
pub use registry::{
    Proposal, Refusal, RegisteredType, Registry, SUBJECT_CHARS_MAX, Subject, VERSIONS_MAX, Version,
};
pub use set::{DescriptorSet, FILES_MAX, File, SET_BYTES_MAX, SetError, TYPES_MAX};

#[cfg(test)]
mod testing;
