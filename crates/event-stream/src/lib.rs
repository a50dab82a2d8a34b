//! The gRPC services of `atlas.events` over an event log: `EventStream`, `EventPublisher` and
//! `EventLog`, with health and reflection. This crate knows no SQL.
//!
//! Where to change what: what a stream sends in `reading`, how a batch is checked and answered in
//! `publishing`, connections, health and reflection in `serve`; how bytes reach HTTP/2 in `frames`,
//! who may make which call in `guard`, how much clients may send in `received`, what errors look
//! like on the wire in `status`, what is traced in `trace`, metrics in `telemetry`.

mod config;
mod frames;
mod guard;
mod heartbeat;
mod publishing;
mod reading;
mod received;
mod serve;
mod status;
mod telemetry;
mod trace;
mod types;

pub use config::StreamConfig;
pub use guard::{RULES, Rule};
pub use serve::{MoreServices, ServeError, serve, serve_on, serve_with};
pub use telemetry::describe_metrics;
