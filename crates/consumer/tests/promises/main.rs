//! The promises of the consumer, each with tests that try to break it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod exactly_once;
mod parking;
mod positions;
mod support;
