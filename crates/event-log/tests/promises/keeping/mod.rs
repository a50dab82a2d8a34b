//! Tests of what a log keeps: retention, compression, and snapshots that others hold.

mod compressed_chunks;
mod old_snapshot;
mod promise_10_retention;
mod seek_during_trim;
