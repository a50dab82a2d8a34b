//! Tests of streams: what readers receive, from where, and in which order.

mod exact_stream;
mod history;
mod markers;
mod reading;
mod retention;
mod several_servers;
pub(crate) mod slow_reader;
