//! What is emitted depends on the sequence of points alone.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, whose input is their own"
)]

mod definitions;
mod naive;
mod news;
mod properties;
mod steps;
mod told;
mod work;
