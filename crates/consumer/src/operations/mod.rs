//! What operators can do about a consumer: as a library, and over gRPC.

pub(crate) mod admin;
pub(crate) mod service;
