//! The engine as a service: whole engines on a real database, in both forms, killed, cut off,
//! replayed and reconfigured, and what they emit compared with what the pure engine returns.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what its functions have in common"
)]

mod bed;
mod consuming;
mod deployment;
mod process;
mod scenario;
mod serving;
