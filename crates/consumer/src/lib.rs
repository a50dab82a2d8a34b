//! Exactly-once consumption of event logs, over gRPC or in the same process.
//!
//! A [`Consumer`] follows one or several [`Source`]s and hands their events, in batches, to a
//! [`Handler`] together with an open transaction. The handler's effects, the ids of the events and
//! the checkpoint commit in that one transaction of the service's own database, so that each event
//! has its effects once: through crashes, lost connections, commits of unknown outcome, replays, and
//! several instances of the service at once, which take turns. What cannot be processed is parked, and
//! the stream goes on.
//!
//! Where to change what: how events are received, and the proof that none is missing, in `source`;
//! how they are processed, exactly once, in `processing`; where a consumer is, and why it stopped,
//! in `checkpoint`; what could not be processed in `parked`; what operators can do in
//! `operations`.

mod backoff;
mod checkpoint;
mod config;
mod consumer;
mod database;
mod error;
mod handler;
mod operations;
mod parked;
mod processing;
mod source;
mod telemetry;

pub use backoff::Backoff;
pub use checkpoint::{Checkpoint, LastEvent, Stop};
pub use config::ConsumerConfig;
pub use consumer::Consumer;
pub use error::ConsumerError;
pub use handler::{BoxError, Handler, HandlerError, SourcedEvent};
pub use operations::admin::{AdminError, ConsumerAdmin, Reset, Retried};
pub use operations::service::{CheckpointsService, ParkedEventsService};
pub use parked::event::{ParkedEvent, ParkedFilter, ParkedPage, ParkedState};
pub use source::{
    Source, StartAt,
    history::HistoryReader,
    lag::{ConsumerStatus, SourceLag},
};
pub use telemetry::describe_metrics;
