//! The alert service: from a crossing to a channel.
//!
//! [`channel`] sends; `rule` says what makes an alert, `suppression` why it is not sent, and `calm` what its owner wants
//! of that; `intake` makes alerts of consumed events, in the transaction that moves the checkpoint, `series` of rules
//! over series and the clock, and `external` of what others send; `grpc` serves rules as `rest` does; `delivery` sends what is due; `store` has all SQL.

mod alert;
mod beginning;
mod bot;
mod calm;
pub mod channel;
pub mod config;
mod context;
mod delivery;
mod emission;
mod external;
mod grpc;
mod intake;
mod message;
mod removal;
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
