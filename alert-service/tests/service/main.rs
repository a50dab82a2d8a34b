//! The alert service on a real database, with a log to consume and a receiver of webhooks in the process.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what its functions have in common"
)]

mod calm;
mod configuration;
mod grpc;
mod intake;
mod kills;
mod notified;
mod processes;
mod readiness;
mod removal;
mod retries;
mod rules;
mod series;
mod shares;
mod stream;
mod support;
mod suppressed;
mod tenants;

use support::{bed, receiver, teams};
