//! What a backtest comes to.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;

use super::catalogue::Catalogue;
use super::play::AsKnown;
use super::recessions::Recession;
use crate::definition::Severity;
use crate::pattern::Direction;
use crate::regime::RegimeSpell;
use evaluation::machine::{Spell, Turn};

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct BacktestResult {
    /// First date shown.
    pub from: NaiveDate,
    /// Last date shown.
    pub to: NaiveDate,
    /// Which values were seen.
    pub as_known: AsKnown,
    /// How many points were played.
    pub points: usize,
    /// By id.
    pub patterns: Vec<PatternResult>,
    /// By id.
    pub regimes: Vec<RegimeResult>,
    /// Definitions that could not be evaluated to the end, and why: nothing else is emitted about them.
    pub failed: Vec<String>,
    /// By date; empty where the observations hold no series of recessions.
    pub recessions: Vec<Recession>,
}

impl BacktestResult {
    /// Gives the inputs their titles, and says which of them are look-alikes.
    pub fn describe(&mut self, catalogue: &Catalogue) {
        let inputs = self.patterns.iter_mut().flat_map(|p| &mut p.inputs);
        for input in inputs {
            input.title = catalogue.title(&input.series).map(str::to_owned);
            input.is_look_alike = catalogue.is_look_alike(&input.series);
        }
    }
}

impl PatternResult {
    /// Whether it reads a series that only looks like the real one: its crossings never happened.
    pub fn has_look_alike(&self) -> bool {
        self.inputs.iter().any(|input| input.is_look_alike)
    }
}

/// What a pattern did.
#[derive(Clone, Debug, Serialize)]
pub struct PatternResult {
    /// Id of the pattern.
    pub id: String,
    /// Its title.
    pub name: String,
    /// How grave it is while it is active.
    pub severity: Severity,
    /// Hash of its definition.
    pub version: String,
    /// Its definition and source, for people.
    pub description: String,
    /// Its condition.
    pub when: String,
    /// How many dates were evaluated.
    pub evaluated_dates: usize,
    /// How many of them had no data.
    pub dates_without_data: usize,
    /// Everything that it emitted, in the order in which it was emitted.
    pub crossings: Vec<EmittedCrossing>,
    /// When it was active, as it stands at the end.
    pub spells: Vec<Spell>,
    /// Value and threshold at each evaluated date, as known at the end.
    #[serde(skip)]
    pub trace: Vec<TracePoint>,
    /// What the pattern reads.
    pub inputs: Vec<InputTrace>,
}

/// An input of a pattern.
#[derive(Clone, Debug, Serialize)]
pub struct InputTrace {
    /// Name in expressions.
    pub name: String,
    /// Id of the series.
    pub series: String,
    /// Title of the series, where a catalogue has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its values are generated, and not those that are published under its id.
    pub is_look_alike: bool,
    /// Unit of its values.
    pub unit: String,
    /// An observation counts for so many days.
    pub max_age_days: u32,
    /// Further apart than this, in days, observations do not belong together.
    #[serde(skip)]
    pub gap_days: i64,
    /// How many observations are shown.
    pub count: usize,
    /// Those, by date, as known at the end.
    #[serde(skip)]
    pub observations: Vec<(NaiveDate, Decimal)>,
}

/// A crossing as it was emitted.
#[derive(Clone, Debug, Serialize)]
pub struct EmittedCrossing {
    /// Id of the pattern.
    pub pattern: String,
    /// The date that it is for.
    pub date: NaiveDate,
    /// When it could have been emitted: when its cause became known; as stored, when that was published.
    pub emitted_at: DateTime<Utc>,
    /// "entered", "cleared", "revised".
    pub direction: Direction,
    /// What happened at the date, or did not after all.
    pub turn: Turn,
    /// False: it did not.
    pub stands: bool,
    /// The evaluated value.
    pub value: Option<Decimal>,
    /// What it was compared with.
    pub threshold: Option<Decimal>,
    /// Rendered for people.
    pub message: String,
}

/// Value and threshold at a date.
#[derive(Clone, Copy, Debug)]
pub struct TracePoint {
    /// Which date.
    pub date: NaiveDate,
    /// Absent: no data.
    pub value: Option<Decimal>,
    /// Absent: no data, or none.
    pub threshold: Option<Decimal>,
}

/// What a model of regimes did.
#[derive(Clone, Debug, Serialize)]
pub struct RegimeResult {
    /// Id of the model.
    pub id: String,
    /// Its title.
    pub name: String,
    /// Every transition, in the order in which it was emitted.
    pub transitions: Vec<EmittedTransition>,
    /// Which state held from when on, as it stands at the end.
    pub spells: Vec<RegimeSpell>,
}

/// A transition as it was emitted.
#[derive(Clone, Debug, Serialize)]
pub struct EmittedTransition {
    /// Id of the model.
    pub model: String,
    /// The date from which the new state holds.
    pub since: NaiveDate,
    /// When it could have been emitted.
    pub emitted_at: DateTime<Utc>,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
    /// It lies at a past date, where a revision changed it.
    pub revised: bool,
    /// False: it did not happen after all.
    pub stands: bool,
    /// Score of the new state.
    pub score: Option<Decimal>,
    /// Patterns that led to it.
    pub triggers: Vec<String>,
}
