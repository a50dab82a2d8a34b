//! The state machine of a pattern: a pure fold over its evaluated dates, folded again from where a
//! revision changed the past.

mod activity;
mod crossing;
mod emitted;
mod emitting;
mod outcome;
mod run;
mod state;

pub use crossing::{Crossing, Direction};
pub(crate) use emitted::{Emitted, Known};
pub use outcome::{InputUse, Outcome};
pub use run::{PatternRun, Step};
pub(crate) use state::RECENT_MAX;
pub use state::{OnNoData, Phase, Rule, Spell, State, Turn};
