//! Tests of what a log promises, each against a database of its own.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod common;
mod proxy;

mod compressed_chunks;
mod dropped_begin;
mod fair_shares;
mod frozen_start;
mod history;
mod in_transactions;
mod killed_connections;
mod large_groups;
mod old_snapshot;
mod page_cost;
mod panics;
mod prepared_ahead;
mod promise_10_retention;
mod promise_1_durable;
mod promise_2_gapless;
mod promise_3_idempotent;
mod promise_4_exact_stream;
mod promise_5_slow_reader;
mod promise_9_honest_errors;
mod range_reads;
mod read_ahead;
mod seek_during_trim;
mod segment_boundaries;
mod sessions;
mod side_by_side;
mod silence;
mod small_appends;
mod undeliverable;
mod wake_ups;
