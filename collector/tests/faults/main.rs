//! Faults of real processes: collectors that are killed, and a database that is restarted, under
//! load. Afterwards every acknowledged event is at its position, positions are 1..n, and every
//! subscriber of every collector saw the same sequence.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod database_server;
mod promise_collectors_frozen;
mod promise_collectors_killed;
mod promise_database_restarted;
mod publisher;
mod scenario;
mod subscriber;
