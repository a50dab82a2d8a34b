//! How much memory the parts of a message take once they are built.

use pbjson_types::Value;

/// At most so many bytes of memory for what is built from one request: sixteen times the largest
/// message.
pub const BUILT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// No byte of a request costs more than this, whatever it is part of.
pub(crate) const BYTE_COST_MAX: usize = 512;

/// What an allocation takes at least, besides what its wire form does.
pub(crate) const ALLOCATION: usize = 32;
/// A place in the table of an object's entries.
const BUCKET: usize = size_of::<(String, Value)>() + 1;
/// So many entries fit into the smallest table, which has four places.
pub(crate) const FREE_ENTRIES: usize = 3;
pub(crate) const SMALLEST_TABLE: usize = 4 * BUCKET + ALLOCATION;
/// An entry beyond these: a table has up to 16 places for 7 entries.
pub(crate) const ENTRY: usize = 16 * BUCKET / 7;
/// So many elements fit into the smallest list.
pub(crate) const FREE_ELEMENTS: usize = 4;
pub(crate) const SMALLEST_LIST: usize = 4 * size_of::<Value>() + ALLOCATION;
/// An element beyond these: a list grows to twice its length.
pub(crate) const ELEMENT: usize = 2 * size_of::<Value>();

/// The memory that what is built from a request takes, added up.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cost(usize);

impl Cost {
    /// Adds bytes.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes);
    }

    /// Adds a list or object of a custom event's data, without what its entries hold and are named.
    pub(crate) fn add_collection(&mut self, is_object: bool, entries: usize) {
        let (smallest, free, each) = match is_object {
            true => (SMALLEST_TABLE, FREE_ENTRIES, ENTRY),
            false => (SMALLEST_LIST, FREE_ELEMENTS, ELEMENT),
        };
        if entries > 0 {
            self.add(smallest + each * entries.saturating_sub(free));
        }
    }

    /// Adds a text of so many bytes.
    pub(crate) fn add_text(&mut self, bytes: usize) {
        self.add(ALLOCATION + bytes);
    }

    #[cfg(test)]
    pub(crate) fn bytes(self) -> usize {
        self.0
    }

    /// Whether it is more than [`BUILT_BYTES_MAX`].
    pub(crate) fn is_over(self) -> bool {
        self.0 > BUILT_BYTES_MAX
    }
}
