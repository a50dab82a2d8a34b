//! Where a consumer is in its sources, and when it stops.

mod history_changed;
mod operators;
mod sources;
