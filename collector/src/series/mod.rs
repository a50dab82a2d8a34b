//! The registry of collected series: what is collected, from when on, how often, and how far it is.
//!
//! [`SeriesRegistry`] is what REST and the configuration manage; `store` holds the SQL on the table
//! `series`, for it and for [`crate::collection`].

mod error;
mod registry;
mod row;
mod schedule;
mod schema;
pub(crate) mod store;

pub use error::SeriesError;
pub use registry::{Backfill, NewSeries, SeriesRegistry};
pub(crate) use row::SeriesRow;
pub use row::{LastError, Series};
pub use schedule::default_schedule;
pub(crate) use schema::MIGRATOR;
pub use schema::migrate;
