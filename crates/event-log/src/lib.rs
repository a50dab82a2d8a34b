//! An ordered, gapless, durable event log on TimescaleDB.
//!
//! The database is the log. [`EventLog::append`] stores events at positions 1, 2, 3, … in commit
//! order; a [`Follower`] delivers exactly the events that a filter wants, from a cursor on, from the
//! database while it is behind and from memory once it is not; a [`RangeRead`] delivers those of a
//! range of times. This crate holds all SQL on events and knows nothing of gRPC.
//!
//! Where to change what: positions and duplicates in `append`; what is stored faster because it
//! is certainly new in `append_small` (few events) and `ahead` (while others are being committed), and
//! what tells that it is in `known_ids`; group commit in `appender` behind its `queue`, its
//! transactions in `writer`, on a `thread` of their own where they are large, those of callers in `in_transaction` and
//! `uncommitted`; what a page of stored events costs in `read` and `read_small`, what is
//! read before it is asked for in `read_ahead`, which chunks a read touches in `segment`, memory in
//! `ring`, what wakes readers in `tail`, edition, compression and sizes in `storage`, metrics in `telemetry`.

mod ahead;
mod append;
mod append_small;
mod appender;
mod batch;
mod config;
mod connections;
mod database;
mod error;
mod find;
mod follow;
mod group;
mod head;
mod history;
mod in_transaction;
mod insert;
mod known_ids;
mod last_head;
mod latest;
mod log;
mod nodelay;
mod pages;
mod pipeline;
mod queue;
mod range;
mod read;
mod read_ahead;
mod read_small;
mod retention;
mod ring;
mod rows;
mod segment;
mod shared_head;
mod storage;
mod tail;
mod telemetry;
mod thread;
mod trace;
mod uncommitted;
mod writer;

pub use append::{Projection, Receipt};
pub use batch::Delivery;
pub use config::LogConfig;
pub use database::{
    SessionProblem, connect, connect_options, holds_log, no_answer, pool, run_migrations, within,
};
pub use error::LogError;
pub use follow::{Followed, Follower};
pub use head::{Head, Renewed};
pub use history::{OnHistoryChange, Unverified};
pub use log::{APPEND_WAIT_MAX, EventLog};
pub use queue::{PendingAppend, Sequence};
pub use range::RangeRead;
pub use retention::Trimmed;
pub use telemetry::describe_metrics;
pub use uncommitted::Uncommitted;
