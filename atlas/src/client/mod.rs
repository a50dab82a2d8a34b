//! How the command line talks to a server, and what it makes of failures.

pub(crate) mod backoff;
pub(crate) mod connection;
pub(crate) mod cursor;
pub(crate) mod diagnosis;
pub(crate) mod failure;
pub(crate) mod rest;
