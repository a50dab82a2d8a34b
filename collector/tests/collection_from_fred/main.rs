//! Collecting from FRED into a log: what is stored is what FRED said, once, whatever goes wrong.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod bed;
mod expected;
mod scheduling;
mod stored;
mod trouble;
