//! Who is let in to a collector, over what, and what they see and may do. Whole services run in this
//! process, each on a database and ports of its own, with real certificates and files of tokens.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what its functions have in common"
)]

mod bounded;
mod callers;
mod clients;
mod connections;
mod harness;
