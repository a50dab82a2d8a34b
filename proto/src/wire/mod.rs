//! What an encoded request would take in memory, found out before anything is built from it: two
//! bytes on the wire can be an event of hundreds.

mod cost;
mod json;
mod scan;
mod shapes;

pub use cost::BUILT_BYTES_MAX;
pub use json::{JsonOutline, json_outline};
pub use scan::Malformed;

use crate::BATCH_EVENTS_MAX;
use cost::Cost;

/// What is known of an encoded [`PublishRequest`](crate::PublishRequest) that was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// How many events it holds.
    pub events: usize,
    /// As the message says.
    pub continue_after_refusal: bool,
    /// The bound that it goes beyond, if it does.
    pub excess: Option<Excess>,
}

/// A bound on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// More than [`BATCH_EVENTS_MAX`] events.
    Events,
    /// What it holds would take more than [`BUILT_BYTES_MAX`] of memory.
    Memory,
}

/// Looks at an encoded [`PublishRequest`](crate::PublishRequest) without building it.
///
/// # Errors
/// It is not the wire format, or nests deeper than decoders go; decoding it would fail, too.
pub fn outline(encoded: &[u8]) -> Result<Outline, Malformed> {
    let mut fields = scan::Fields::of(encoded);
    let mut outline = Outline {
        events: 0,
        continue_after_refusal: false,
        excess: None,
    };
    let mut cost = Cost::default();
    cost.add(encoded.len());
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, scan::Value::Bytes(event)) => {
                outline.events += 1;
                // The others are only counted.
                if outline.events <= BATCH_EVENTS_MAX && !cost.is_over() {
                    cost.add(2 * size_of::<crate::Event>());
                    shapes::EVENT.add_to(&mut cost, event, scan::DEPTH_MAX - 1)?;
                }
            }
            (2, scan::Value::Varint(number)) => outline.continue_after_refusal = number != 0,
            _ => {}
        }
    }
    outline.excess = match outline.events > BATCH_EVENTS_MAX {
        true => Some(Excess::Events),
        false => cost.is_over().then_some(Excess::Memory),
    };
    Ok(outline)
}
