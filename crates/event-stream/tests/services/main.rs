//! Tests of the gRPC services, each with a database of its own, real servers on ephemeral ports of
//! the loopback, and the generated clients.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod common;

mod bad_input;
mod built;
mod exact_stream;
mod expensive;
mod flow_control;
mod health_and_reflection;
mod history;
mod isolation;
mod markers;
mod open_streams;
mod outage;
mod proxied;
mod publishing;
mod reading;
mod retention;
mod rules;
mod several_servers;
mod shutdown;
mod slow_reader;
mod small_frames;
mod stalled;
mod unfinished;
mod unreadable;
mod untaken;
