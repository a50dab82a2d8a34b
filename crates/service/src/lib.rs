//! What every service shares, so that each is configured, watched, asked and ended alike.
//!
//! Where to change what: which settings all services have in `config`, the metrics of a process in
//! `telemetry`, its log lines in `logs`, its traces in `traces`, why a service does not start in
//! `error`, what its start opens and how it runs and ends in `server`, its commands in `program`, what holds for every REST request in `rest`, who is
//! let in and over what in [`security`], what of others' text may be printed in `visible`.

pub mod config;
mod database;
mod error;
mod health;
mod logs;
mod passing;
mod process;
mod program;
pub mod rest;
pub mod security;
mod server;
pub mod telemetry;
mod traces;
mod visible;

pub use database::{connect, log_refused, open_log, renew_log};
pub use error::{PartEnded, StartError};
pub use health::ask_readiness;
pub use process::{EXIT_CONFIG, Signals, announce, environment, fail};
pub use program::{Program, ServiceCommand, described, load, main, run};
pub use security::{Incoming, Security};
pub use server::{Addresses, Listeners, Outcome, Parts, Server, ServerBuilder, stopped_source};
pub use visible::{cell, counted, visible, visible_json};
