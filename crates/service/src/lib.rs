//! What every service shares, so that each is configured, watched, asked and ended alike.
//!
//! Where to change what: which settings all services have in `config`, the metrics of a process in
//! `telemetry`, its log lines in `logs`, its traces in `traces`, why a service does not start in
//! `error`, how its parts run and end in `parts`, what holds for every REST request in `rest`, who is
//! let in and over what in [`security`], what of others' text may be printed in `visible`.

pub mod config;
mod database;
mod error;
mod health;
mod listeners;
mod logs;
mod parts;
mod passing;
mod process;
pub mod rest;
pub mod security;
pub mod telemetry;
mod traces;
mod visible;

pub use database::{connect, log_refused, open_log, renew_log};
pub use error::{PartEnded, StartError};
pub use health::ask_readiness;
pub use listeners::{Addresses, Listeners};
pub use parts::{Outcome, Parts};
pub use process::{EXIT_CONFIG, Signals, announce, environment, fail, print_health, renew_log_id};
pub use security::{Incoming, Security};
pub use visible::{cell, visible, visible_json};
