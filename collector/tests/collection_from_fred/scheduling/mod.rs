//! Which series are collected, when, and by which process.

mod concurrency;
mod pacing;
mod registry;
mod worker;
