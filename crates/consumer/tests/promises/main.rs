//! The promises of the consumer, each with tests that try to break it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod common;
mod handler;
mod history_changed;
mod operators;
mod parked_over_grpc;
mod promise_6_exactly_once;
mod promise_6_several_instances;
mod promise_7_parked;
mod proxy;
mod scripted;
mod silence;
mod sources;
