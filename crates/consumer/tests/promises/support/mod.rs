//! A consumer under test, and what stands between it and its source.

pub(crate) mod common;
pub(crate) mod handler;
pub(crate) mod proxy;
pub(crate) mod scripted;
