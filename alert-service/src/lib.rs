//! The alert service: from a crossing to a channel.
//!
//! [`channel`] sends; `rule` says what makes an alert and `suppression` why it is not sent; `intake` makes alerts of
//! consumed events, in the transaction that moves the checkpoint; `series` evaluates rules over series and the clock; `delivery` sends what is due; `store` has all SQL.

mod alert;
pub mod channel;
pub mod command;
pub mod config;
mod context;
mod delivery;
mod emission;
mod intake;
mod message;
mod rest;
mod rule;
mod series;
pub mod service;
mod store;
mod suppression;
mod telemetry;

pub use context::Context;
pub use series::Evaluation;

/// Name of the service, in its checkpoints and its events.
pub const SERVICE: &str = "AlertService";
