//! The collector: gathers observations into an event log and serves it over gRPC and REST.

pub mod collection;
pub mod config;
pub mod fred;
pub mod observations;
pub mod rest;
pub mod series;
pub mod service;
pub mod telemetry;

/// The database answers a small statement by then, or the statement has failed.
pub(crate) const ANSWER_MAX: std::time::Duration = std::time::Duration::from_secs(10);
