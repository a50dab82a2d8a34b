use std::sync::Arc;

use chrono::NaiveDate;
use evaluation::series::Observation;
use rust_decimal::Decimal;

use super::level::Level;

/// What became of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Turn {
    /// Id of the rule.
    pub(crate) rule: Arc<str>,
    pub(crate) kind: TurnKind,
    /// The observation's date; of what is withdrawn, that for which it began.
    pub(crate) date: NaiveDate,
    pub(crate) value: Option<Decimal>,
    pub(crate) threshold: Option<Decimal>,
    /// It is of observations that are too old to be notified of.
    pub(crate) is_old: bool,
}

/// How a rule turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnKind {
    /// Its condition holds now.
    Began,
    /// It does not hold any more.
    Ended,
    /// It never held, by revised values.
    Withdrawn,
    /// Something without a duration.
    Happened,
}

impl Turn {
    /// `None` where there is no date, as nothing was ever observed.
    pub(super) fn of_level(
        rule: &Arc<str>,
        level: Level,
        kind: TurnKind,
        observation: Option<Observation>,
        date: Option<NaiveDate>,
    ) -> Option<Self> {
        let value = observation.map(|observation| observation.value);
        Some(Self {
            rule: Arc::clone(rule),
            kind,
            date: date?,
            value,
            threshold: value.map(|value| level.threshold(value)),
            is_old: false,
        })
    }
}
