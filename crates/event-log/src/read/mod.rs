//! The read path: stored events by position, in pages; by time; by id.

pub(crate) mod find;
pub(crate) mod latest;
pub(crate) mod page;
pub(crate) mod pages;
pub(crate) mod range;
pub(crate) mod read_ahead;
pub(crate) mod small_page;
