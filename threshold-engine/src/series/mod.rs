//! Series of observations in memory: what is known of each date now.

mod observations;
mod point;
mod store;

pub(crate) use observations::last_at;
pub use observations::{Change, Edit, Observation, Observations};
pub use point::{Cause, Point};
pub use store::{SeriesIndex, SeriesStore};
