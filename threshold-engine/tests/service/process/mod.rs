//! Tests of the process: settings, start, end, and what it writes to a terminal.

mod configuration;
mod flags;
pub(crate) mod life;
mod start_failures;
mod terminal;
