//! Series of observations in memory: what is known of each date now.

mod changes;
mod future;
mod loaded;
mod observations;
mod point;
mod step;
mod store;
mod time;

pub use changes::StepChanges;
pub use future::{Future, FutureObservations, moment, reached};
pub use loaded::LoadedSeries;
pub use observations::last_at;
pub use observations::{Change, Edit, Observation, Observations};
pub use point::{Cause, Point};
pub use step::{is_same_step, steps};
pub use store::{SeriesIndex, SeriesStore};
pub use time::end_of;
pub use time::{TIME, due, passed};
