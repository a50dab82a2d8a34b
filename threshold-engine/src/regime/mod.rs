//! Regimes: named states of which exactly one holds, decided by patterns and series.

mod decide;
mod emitting;
mod file;
mod run;

use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use ulid::Ulid;

use crate::definition::TestCase;
use evaluation::calendar::{BusinessCalendar, Term};
use evaluation::expression::{NodeIndex, Program};
use evaluation::series::Cause;

pub(crate) use decide::World;
pub use emitting::Shift;
pub(crate) use run::Key;
pub use run::{RegimeRun, RegimeSpell};

/// A model of regimes as its file defines it, compiled.
#[derive(Clone, Debug)]
pub struct Regime {
    /// Unique among regimes; 1 to 100 characters.
    pub id: String,
    /// Title, for people.
    pub name: String,
    /// Definition and source, for people.
    pub description: String,
    /// Hash of the definition without its tests.
    pub version: String,
    /// By precedence, the first takes it.
    pub states: Vec<RegimeState>,
    /// Which state holds before the first evaluation, by its place in `states`.
    pub initial: usize,
    /// Which days `min_dwell` counts as business days.
    pub business: BusinessCalendar,
    /// The compiled conditions.
    pub program: Arc<Program>,
    /// Ids of all patterns that are asked for.
    pub patterns: Vec<String>,
    /// Tests that stand in the file.
    pub tests: Vec<TestCase>,
    /// Where it was read from.
    pub file: PathBuf,
    /// The text that it was read from.
    pub(crate) text: Arc<str>,
    /// The line of its id, and of each input by its place in the program.
    pub(crate) lines: Vec<usize>,
}

/// One state of a model.
#[derive(Clone, Debug)]
pub struct RegimeState {
    /// Unique in its model.
    pub id: String,
    /// Condition for entering. A state without condition and signals always holds.
    pub enter: Option<NodeIndex>,
    /// Hysteresis: the state is not left for one of lower precedence while this holds; else while its
    /// conditions for entering do.
    pub stay: Option<NodeIndex>,
    /// Conditions with a weight; their sum is the score. What has no data adds nothing.
    pub signals: Vec<(NodeIndex, Decimal)>,
    /// Score that is needed for entering.
    pub enter_at: Option<Decimal>,
    /// The state is not left for one of lower precedence before it has held for so long.
    pub min_dwell: Option<Term>,
}

/// A regime gave way to another, or a revision changed that.
#[derive(Clone, Debug)]
pub struct Transition {
    /// The same whenever the same sequence of points is played.
    pub id: Ulid,
    /// Of which model.
    pub model: Arc<Regime>,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
    /// The evaluated date from which the new state holds.
    pub since: NaiveDate,
    /// Score of the new state, if it has signals.
    pub score: Option<Decimal>,
    /// The active ones of the patterns that the new state asks for.
    pub triggers: Vec<String>,
    /// No new observation of its date or an earlier one brought it about, or it was emitted before.
    pub revised: bool,
    /// False: the transition that was emitted for the date did not happen.
    pub stands: bool,
    /// The state that holds as of the newest evaluated date, after the whole step.
    pub current: String,
    /// The event that emitted this transition before, if one did.
    pub revises: Option<Ulid>,
    /// The step that brought it about, by its last point.
    pub cause: Cause,
}
