//! Tests of the contract: what it refuses, what it keeps, and that it stays what it was.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod bad_input;
mod every_text;
mod held_bytes;
mod round_trip;
mod samples;
mod seed_contract;
mod strategies;
mod wire_bounds;
