//! What is emitted depends on the log alone: on its events, in their order.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, whose input is their own"
)]

mod business;
mod definitions;
mod emitted;
mod naive;
mod naive_pattern;
mod news;
mod properties;
mod steps;
mod time;
mod work;
