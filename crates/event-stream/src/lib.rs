//! The gRPC services of `atlas.events` over an event log: `EventStream`, `EventPublisher` and
//! `EventLog`, with health and reflection. This crate knows no SQL.
//!
//! Where to change what: what a subscription sends in `subscription`, how bytes reach HTTP/2 in
//! `frames`, what is found out about a batch before it is built in `batch`, who may make which call in `guard`,
//! how much clients may send in `received`, how much of streams they may leave unread in `untaken`, what errors look like on the wire in `status`, what
//! is traced in `trace`, metrics in `telemetry` and, of named consumers, in `consumers`.

mod acknowledgements;
mod batch;
mod config;
mod connections;
mod consumers;
mod event_stream;
mod frames;
mod guard;
mod heartbeat;
mod log_info;
mod publisher;
mod received;
mod reflection;
mod request;
mod serve;
mod stalled;
mod status;
mod subscription;
mod telemetry;
mod trace;
mod untaken;

pub use config::StreamConfig;
pub use guard::{RULES, Rule};
pub use serve::{MoreServices, ServeError, serve, serve_on, serve_with};
pub use telemetry::describe_metrics;
