//! Exactly-once consumption of event logs, over gRPC or in the same process.
//!
//! A [`Consumer`] follows one or several [`Source`]s and hands their events, in batches, to a
//! [`Handler`] together with an open transaction. The handler's effects, the ids of the events and
//! the checkpoint commit in that one transaction of the service's own database, so that each event
//! has its effects once: through crashes, lost connections, commits of unknown outcome, replays, and
//! several instances of the service at once, which take turns. What cannot be processed is parked, and
//! the stream goes on.
//!
//! Where to change what: one transaction in `attempt`, its first statement in `claim`, how instances
//! learn of each other in `turn`, what happens when a transaction fails in `process`, the loop around
//! it in `worker`; connections, resumption and the proof that nothing is missing in `reader` and
//! `cursor`; what differs between the two forms of a source in `source`; what operators can do in
//! `admin` and, over gRPC, in `service`.

mod admin;
mod attempt;
mod backoff;
mod batch;
mod checkpoint;
mod claim;
mod config;
mod consumer;
mod cursor;
mod database;
mod error;
mod handler;
mod history;
mod lag;
mod parked;
mod parking;
mod process;
mod processed;
mod reader;
mod retry;
mod running;
mod service;
mod session;
mod source;
mod stop;
mod telemetry;
mod trace;
mod turn;
mod worker;

pub use admin::{AdminError, ConsumerAdmin, Reset, Retried};
pub use backoff::Backoff;
pub use checkpoint::{Checkpoint, LastEvent, Stop};
pub use config::ConsumerConfig;
pub use consumer::Consumer;
pub use error::ConsumerError;
pub use handler::{BoxError, Handler, HandlerError, SourcedEvent};
pub use history::HistoryReader;
pub use lag::{ConsumerStatus, SourceLag};
pub use parked::{ParkedEvent, ParkedFilter, ParkedState};
pub use service::{CheckpointsService, ParkedEventsService};
pub use source::{Source, StartAt};
pub use telemetry::describe_metrics;
