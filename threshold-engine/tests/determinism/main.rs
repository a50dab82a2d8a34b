//! What is emitted depends on the sequence of points alone.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, whose input is their own"
)]

mod definitions;
mod properties;
mod told;
mod work;
