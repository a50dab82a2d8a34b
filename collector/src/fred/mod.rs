//! FRED's API: series, observations with their vintages, vintage dates.
//!
//! [`FredClient`] is everything that the rest of the collector knows of FRED: it asks at an even pace
//! (`pace`), tries again what may succeed later, stops asking for a while when nothing does
//! (`circuit`), and decodes strictly (`answer`).

mod answer;
mod circuit;
mod client;
mod config;
mod error;
mod pace;
mod redact;
mod validate;

pub use answer::{FredObservation, FredSeries};
pub use circuit::CircuitState;
pub use client::{FredClient, ObservationsQuery};
pub use config::FredConfig;
pub use error::{FredError, FredFailure};
pub(crate) use validate::{FIRST_REALTIME_DAY, LAST_REALTIME_DAY};
