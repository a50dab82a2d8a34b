//! Tests of consumption: what is emitted, once, through faults, restarts and time.

mod backtest;
mod disturbances;
mod emitted;
mod frozen;
mod recovery;
mod releases;
mod sources;
pub(crate) mod time;
mod too_old;
