//! Observations: what is known, and was known when, of every series.
//!
//! A fold of the log's `SeriesCollected` events, collected or published alike, written in the
//! transaction that appends them ([`ObservationProjection`]), and read through [`Observations`].

mod projection;
mod read;

pub use projection::ObservationProjection;
pub use read::{Observation, Observations, Vintage};
