//! Tests of the gRPC services, each with a database of its own, real servers on ephemeral ports of
//! the loopback, and the generated clients.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod calls;
mod common;
mod faults;
mod overload;
mod streams;
mod types;
