//! Channels against servers that speak the real protocols within the process.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what its functions have in common"
)]

mod addresses;
mod certificates;
mod checks;
mod mail;
mod ntfy;
mod slack;
mod support;
mod telegram;
mod webhook;
mod webhook_failures;
