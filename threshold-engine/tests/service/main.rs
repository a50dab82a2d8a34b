//! The engine as a service: whole engines on a real database, in both forms, killed, cut off,
//! replayed and reconfigured, and what they emit compared with what the pure engine returns.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what its functions have in common"
)]

mod backtest;
mod bed;
mod configuration;
mod definition_life;
mod definitions;
mod disturbances;
mod emitted;
mod evaluate;
mod files;
mod folded;
mod frozen;
mod hostile;
mod life;
mod recovery;
mod releases;
mod rest;
mod scenario;
mod sources;
mod start_failures;
mod suspended;
mod terminal;
mod time;
mod too_old;
