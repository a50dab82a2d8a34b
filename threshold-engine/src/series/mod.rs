//! Series of observations in memory: what is known of each date now.

mod changes;
mod future;
mod observations;
mod point;
mod step;
mod store;

pub use changes::StepChanges;
pub(crate) use future::{FutureObservations, moment, reached};
pub(crate) use observations::last_at;
pub use observations::{Change, Edit, Observation, Observations};
pub use point::{Cause, Point};
pub(crate) use step::OpenStep;
pub use step::{is_same_step, steps};
pub use store::{SeriesIndex, SeriesStore};
