//! The state machine of a pattern: a pure fold over its evaluated dates, folded again from where a
//! revision changed the past.

mod activity;
mod crossing;
mod outcome;
mod run;
mod state;
mod telling;
mod told;

pub use crossing::{Crossing, Direction};
pub use outcome::{InputUse, Outcome};
pub use run::{PatternRun, Step};
pub(crate) use state::RECENT_MAX;
pub use state::{OnNoData, Phase, Rule, Spell, State, Turn};
pub(crate) use told::{Known, Told};
