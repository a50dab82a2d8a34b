//! Which series are collected, when, and by which process.

mod concurrency;
mod news;
mod pacing;
mod registry;
mod worker;
