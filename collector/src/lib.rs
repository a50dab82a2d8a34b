//! The collector: gathers observations into an event log and serves it over gRPC and REST.

pub mod config;
