//! Collecting: from what a source says now to an event with what was not known before.
//!
//! [`SeriesCollector`] collects one series: `fetch` asks, `news` compares with what is stored,
//! `commit` stores what is new together with how far that is, `failure` records that it was given
//! up. [`CollectionWorker`] does so for every series that is due.

mod collector;
mod commit;
mod days;
mod failure;
mod fetch;
mod known;
mod news;
mod next;
mod release;
mod worker;

pub use collector::{CollectError, Collected, SeriesCollector};
pub use worker::{CollectionWorker, WorkerConfig};

/// The `source_service` of the events of a collection.
pub const SOURCE_SERVICE: &str = "FredCollector";
