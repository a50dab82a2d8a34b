//! The collector as people and scripts meet it: its configuration, REST, start and end. Whole
//! services run in this process, each on a database and ports of its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what its functions have in common"
)]

mod configuration;
mod document;
mod events;
mod harness;
mod hostile;
mod operation;
mod process;
mod publishing;
mod series;
mod service;
mod start_failures;
