//! Tests of readers: pages, ranges, followers, and what they cost.

mod page_cost;
mod promise_2_gapless;
mod promise_4_exact_stream;
mod promise_5_slow_reader;
mod range_reads;
mod read_ahead;
mod segment_boundaries;
mod undeliverable;
mod wake_ups;
