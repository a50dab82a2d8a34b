//! The three ways in which events get their positions.
//!
//! [`locked`] holds the head from the beginning of a transaction and is always right. [`small`] stores
//! a few events in one statement, and [`speculative`] stores the rows of a group before the head is
//! locked: both need to know where the head is and that the ids are new, and store nothing where
//! they were wrong. What is known of that has one owner, the [`sequencer`].

pub(crate) mod in_transaction;
pub(crate) mod known_ids;
pub(crate) mod locked;
pub(crate) mod sequencer;
pub(crate) mod small;
pub(crate) mod speculative;
pub(crate) mod uncommitted;
