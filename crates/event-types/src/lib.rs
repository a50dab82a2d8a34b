//! Registered protobuf types: descriptors that somebody uploaded, whether a version of them is
//! compatible with those before, and payloads of these types.
//!
//! This crate knows neither databases nor transports.

mod compatibility;
mod payload;
mod registry;
mod set;

pub use compatibility::{Break, Mode, Rule};
pub use payload::{ANY_LEVELS_MAX, Misfit, NESTING_MAX, TypedPayload, VALUES_MAX};
pub use registry::{
    Proposal, REGISTRY_BYTES_MAX, Refusal, RegisteredType, Registry, SUBJECT_CHARS_MAX, Subject,
    VERSIONS_MAX, Version, is_subject,
};
pub use set::{DescriptorSet, FILES_MAX, File, SET_BYTES_MAX, SetError, TYPES_MAX};

/// A file of `google.protobuf` that every set may import, encoded; `None` if there is none of this name.
pub fn well_known_file(name: &str) -> Option<Vec<u8>> {
    let file = prost_reflect::DescriptorPool::global().get_file_by_name(name)?;
    Some(file.encode_to_vec())
}

#[cfg(test)]
mod testing;
