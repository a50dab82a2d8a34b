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
use cost::{BYTE_COST_MAX, Cost};

/// A request of at most so many bytes is within every bound, whatever it holds: an event takes two
/// bytes at least. It can be decoded without an [`outline`].
pub const SMALL_BYTES_MAX: usize = 2 * BATCH_EVENTS_MAX;

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
/// It is not the wire format, or nests deeper than decoders go; decoding it would fail, too. Not
/// everything that decoding finds is found here.
pub fn outline(encoded: &[u8]) -> Result<Outline, Malformed> {
    let mut fields = scan::Fields::of(encoded);
    let mut outline = Outline {
        events: 0,
        continue_after_refusal: false,
        excess: None,
    };
    let mut cost = Cost::default();
    cost.add(encoded.len());
    // Of what can cost too much only.
    let may_cost_much = encoded.len() > BUILT_BYTES_MAX / BYTE_COST_MAX;
    while let Some(field) = fields.next()? {
        match (field.number, field.value) {
            (1, scan::Value::Bytes(event)) => {
                outline.events += 1;
                // The others are only counted.
                if may_cost_much && outline.events <= BATCH_EVENTS_MAX && !cost.is_over() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A message within messages, by the numbers of the fields around it.
    fn around(path: &[u8], inner: &[u8]) -> Vec<u8> {
        path.iter().rev().fold(inner.to_vec(), |inner, number| {
            let mut outer = Vec::new();
            prost::encoding::encode_key(
                (*number).into(),
                prost::encoding::WireType::LengthDelimited,
                &mut outer,
            );
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            [outer, inner].concat()
        })
    }

    /// The dearest bytes are empty fields: at each level at which something can be many, one field or
    /// a hundred.
    #[test]
    fn no_byte_costs_more_than_said() {
        let paths: [&[u8]; 8] = [
            &[10, 2],
            &[20, 6],
            &[20, 9],
            &[21, 6],
            &[30, 2, 1, 1],
            &[30, 2, 1, 2, 3],
            &[30, 2, 1, 2, 5, 1, 2],
            &[30, 2, 1, 2, 6, 1, 6, 1],
        ];
        let mut dearest = 0;
        for (path, level, count) in paths.iter().flat_map(|path| {
            (0..=path.len()).flat_map(move |level| [1, 100].map(|count| (path, level, count)))
        }) {
            let many = around(&path[level..], &[]).repeat(count);
            let encoded = around(&path[..level], &many);
            let mut cost = Cost::default();
            cost.add(2 * size_of::<crate::Event>() + 2 + encoded.len());
            shapes::EVENT
                .add_to(&mut cost, &encoded, scan::DEPTH_MAX)
                .unwrap();
            let each = cost.bytes() / (2 + encoded.len());
            assert!(
                each <= BYTE_COST_MAX,
                "{each} for {path:?} from {level} on, {count}"
            );
            dearest = dearest.max(each);
        }
        assert!(dearest > BYTE_COST_MAX / 4, "{dearest}");
    }
}
