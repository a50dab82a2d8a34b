use std::fmt::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// The first 16 hex digits of the SHA-256 of a definition in JSON: the same whatever the file's comments,
/// order, spacing and tests.
pub(crate) fn version_of(definition: &impl Serialize) -> Result<String, serde_json::Error> {
    // Through a value, whose maps are ordered by key.
    let json = serde_json::to_value(definition)?.to_string();
    let digest = Sha256::digest(json.as_bytes());
    let mut version = String::with_capacity(16);
    for byte in &digest[..8] {
        // Writing to a string does not fail.
        let _ = write!(version, "{byte:02x}");
    }
    Ok(version)
}
