use std::sync::Arc;

use chrono::NaiveDate;
use evaluation::{
    machine::{Outcome, Turn},
    series::Cause,
};
use ulid::Ulid;

use super::Pattern;

/// Which way a pattern's outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// It became active, by a new observation of this date or an earlier one.
    Entered,
    /// It became normal, likewise.
    Cleared,
    /// There are no data any more, likewise.
    NoData,
    /// There are data again, likewise.
    Data,
    /// A value that was known was replaced or withdrawn, and what was emitted about a date is otherwise.
    Revised,
}

impl Direction {
    /// "entered", "cleared", "no_data", "data", "revised".
    pub fn name(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Cleared => "cleared",
            Self::NoData => "no_data",
            Self::Data => "data",
            Self::Revised => "revised",
        }
    }
}

/// A pattern entered or cleared, or a revision changed that.
#[derive(Clone, Debug)]
pub struct Crossing {
    /// The same whenever the same sequence of points is played.
    pub id: Ulid,
    /// Of which pattern.
    pub pattern: Arc<Pattern>,
    /// Which way.
    pub direction: Direction,
    /// What happened at the date, or did not after all.
    pub turn: Turn,
    /// False: the turn that was emitted for the date did not happen.
    pub stands: bool,
    /// The evaluated date that it is for.
    pub date: NaiveDate,
    /// The pattern's condition at the date.
    pub outcome: Outcome,
    /// What the pattern was before the date: "normal", "pending", "active", "recovering", "no_data".
    pub previous_state: &'static str,
    /// Since when it was that.
    pub previous_since: NaiveDate,
    /// Whether the pattern is active as of its newest evaluated date, after the whole step.
    pub active: bool,
    /// The step that brought it about, by its last point.
    pub cause: Cause,
    /// Rendered for people.
    pub message: String,
    /// The event that emitted this turn before, if one did.
    pub revises: Option<Ulid>,
}
