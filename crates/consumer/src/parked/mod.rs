//! Events that could not be processed: what operators see of them, their table, and how they are
//! processed once more.

pub(crate) mod event;
pub(crate) mod retry;
pub(crate) mod table;
