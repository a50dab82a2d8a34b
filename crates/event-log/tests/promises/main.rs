//! Tests of what a log promises, each against a database of its own.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod appending;
mod common;
mod faults;
mod keeping;
mod proxy;
mod reading;

mod history;
