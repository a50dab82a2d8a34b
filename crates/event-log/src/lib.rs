//! An ordered, gapless, durable event log on TimescaleDB.
//!
//! The database is the log. [`EventLog::append`] stores events at positions 1, 2, 3, … in commit
//! order; a [`Follower`] delivers exactly the events that a filter wants, from a cursor on, from the
//! database while it is behind and from memory once it is not; a [`RangeRead`] delivers those of a
//! range of times. This crate holds all SQL on events and knows nothing of gRPC.
//!
//! Where to change what: how events are stored and numbered in `write`, how stored ones are read in
//! `read`, how new ones reach readers in `live`; the one row that says where the log is in
//! `head`, and whether it is still the same log in `history`; retention, compression and sizes in
//! `storage`; sessions, pools and deadlines in `database`; registered types in `types`. `log` puts them
//! together.

mod columns;
mod config;
mod database;
mod error;
mod head;
mod history;
mod live;
mod log;
mod read;
mod storage;
mod telemetry;
mod trace;
mod types;
mod write;

pub use config::LogConfig;
pub use database::{
    SessionProblem, connect, connect_options, holds_log, no_answer, pool, run_migrations, within,
};
pub use error::LogError;
pub use head::{Head, Renewed};
pub use history::{OnHistoryChange, Unverified};
pub use live::{
    batch::Delivery,
    follow::{Followed, Follower},
};
pub use log::{EventLog, appending::APPEND_WAIT_MAX};
pub use read::range::RangeRead;
pub use storage::retention::Trimmed;
pub use telemetry::describe_metrics;
pub use types::{RegisteredVersion, Snapshot as TypesSnapshot, TypesError};
pub use write::{
    appended::{Projection, Receipt},
    queue::{PendingAppend, Sequence},
    sequencing::uncommitted::Uncommitted,
};
