//! The state machine of a condition: a pure fold over its evaluated dates, folded again from where a
//! revision changed the past.

mod activity;
mod condition;
mod outcome;
mod run;
mod state;

pub use condition::{Condition, ConditionError, ConditionText};
pub use outcome::{InputUse, Outcome};
pub use run::{ConditionRun, Difference, Finished, Step};
pub use state::{OnNoData, Phase, RECENT_MAX, Rule, RuleError, Spell, State, Turn};
