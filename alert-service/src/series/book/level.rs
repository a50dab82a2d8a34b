//! Comparisons of the latest value of a series with constants.
//!
//! A step of a value from one to another concerns only the comparisons that have a bound between the two: those are
//! found in a sorted map, and nothing else is looked at.

use std::{
    collections::BTreeMap,
    fmt,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use chrono::NaiveDate;
use evaluation::series::{Observation, Observations};
use rust_decimal::Decimal;

use super::turn::{Turn, TurnKind};

/// A comparison; `true` where the bound belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Above(Decimal, bool),
    Below(Decimal, bool),
    /// From the first to the second, with both.
    Between(Decimal, Decimal),
    CrossesAbove(Decimal),
    CrossesBelow(Decimal),
}

impl Level {
    /// Whether it is about two observations, and has no duration.
    pub(crate) fn is_crossing(self) -> bool {
        matches!(self, Self::CrossesAbove(_) | Self::CrossesBelow(_))
    }

    /// Whether a value is on its side.
    pub(crate) fn holds(self, value: Decimal) -> bool {
        match self {
            Self::Above(bound, true) => value >= bound,
            Self::Above(bound, false) | Self::CrossesAbove(bound) => value > bound,
            Self::Below(bound, true) => value <= bound,
            Self::Below(bound, false) | Self::CrossesBelow(bound) => value < bound,
            Self::Between(low, high) => (low..=high).contains(&value),
        }
    }

    fn bounds(self) -> impl Iterator<Item = Decimal> {
        let (first, second) = match self {
            Self::Between(low, high) if low != high => (low, Some(high)),
            Self::Between(bound, _)
            | Self::Above(bound, _)
            | Self::Below(bound, _)
            | Self::CrossesAbove(bound)
            | Self::CrossesBelow(bound) => (bound, None),
        };
        std::iter::once(first).chain(second)
    }

    /// What a value is compared with, for people: the bound that it passed.
    pub(crate) fn threshold(self, value: Decimal) -> Decimal {
        match self {
            Self::Between(low, high) if value > high || high - value < value - low => high,
            Self::Between(bound, _)
            | Self::Above(bound, _)
            | Self::Below(bound, _)
            | Self::CrossesAbove(bound)
            | Self::CrossesBelow(bound) => bound,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Above(bound, true) => write!(f, "is at least {bound}"),
            Self::Above(bound, false) => write!(f, "is above {bound}"),
            Self::Below(bound, true) => write!(f, "is at most {bound}"),
            Self::Below(bound, false) => write!(f, "is below {bound}"),
            Self::Between(low, high) if low == high => write!(f, "is {low}"),
            Self::Between(low, high) => write!(f, "is from {low} to {high}"),
            Self::CrossesAbove(bound) => write!(f, "has crossed {bound} upwards"),
            Self::CrossesBelow(bound) => write!(f, "has crossed {bound} downwards"),
        }
    }
}

/// The comparisons of one series, by their bounds.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    by_bound: BTreeMap<Decimal, Vec<(Arc<str>, Level)>>,
}

/// The last two observations: what comparisons depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Newest {
    pub(crate) last: Option<Observation>,
    before: Option<Observation>,
}

impl Newest {
    /// As of a date.
    pub(crate) fn at(observations: &Observations, date: NaiveDate) -> Self {
        let index = observations.index_at(date);
        let before = index.and_then(|index| index.checked_sub(1));
        Self {
            last: index.map(|index| observations.observation(index)),
            before: before.map(|index| observations.observation(index)),
        }
    }

    /// With those that were dropped because they lie before `first`.
    pub(super) fn or_forgotten(self, known: Self, first: NaiveDate) -> Self {
        let forgotten =
            |observation: Option<Observation>| observation.filter(|known| known.date < first);
        Self {
            last: self.last.or(forgotten(known.last)),
            before: self.before.or(forgotten(known.before)),
        }
    }

    /// With another observation behind them.
    fn then(self, next: Observation) -> Self {
        Self {
            last: Some(next),
            before: self.last,
        }
    }

    fn values(self) -> impl Iterator<Item = Decimal> {
        let both = [self.last, self.before].into_iter().flatten();
        both.map(|observation| observation.value)
    }

    fn holds(self, level: Level) -> bool {
        self.last.is_some_and(|last| level.holds(last.value))
    }

    fn crosses(self, level: Level) -> bool {
        let from = self.before.is_some_and(|before| !level.holds(before.value));
        from && self.holds(level)
    }
}

impl Levels {
    pub(crate) fn add(&mut self, rule: &Arc<str>, level: Level) {
        for bound in level.bounds() {
            let at = self.by_bound.entry(bound).or_default();
            at.push((Arc::clone(rule), level));
        }
    }

    pub(crate) fn remove(&mut self, rule: &str, level: Level) {
        for bound in level.bounds() {
            if let Some(at) = self.by_bound.get_mut(&bound) {
                at.retain(|(id, _)| **id != *rule);
                if at.is_empty() {
                    self.by_bound.remove(&bound);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_bound.is_empty()
    }

    /// The comparisons that may be otherwise at the one than at the other: those with a bound among their values.
    fn between(&self, one: Newest, other: Newest) -> impl Iterator<Item = &(Arc<str>, Level)> {
        let (low, high) = (
            one.values().chain(other.values()).min(),
            one.values().chain(other.values()).max(),
        );
        // Where there was no value, or is none any more, each comparison may be otherwise.
        let is_bounded = one.last.is_some() && other.last.is_some();
        let range = match (low, high) {
            (Some(low), Some(high)) if is_bounded => (Bound::Included(low), Bound::Included(high)),
            _ => (Bound::Unbounded, Bound::Unbounded),
        };
        self.by_bound.range(range).flat_map(move |(bound, at)| {
            // One with two bounds is taken at the first of them that is in reach.
            at.iter().filter(move |(_, level)| match level {
                Level::Between(first, second) if first != second && bound == second => {
                    !range.contains(first)
                }
                _ => true,
            })
        })
    }

    /// What is otherwise by revised values, up to a date.
    pub(crate) fn revised(&self, before: Newest, after: Newest, turns: &mut Vec<Turn>) {
        if before == after {
            return;
        }
        for (rule, level) in self.between(before, after) {
            let (was, is) = match level.is_crossing() {
                true => (before.crosses(*level), after.crosses(*level)),
                false => (before.holds(*level), after.holds(*level)),
            };
            let dates = [before, after].map(|newest| newest.last.map(|last| last.date));
            let turn = |kind, newest: Newest, date: Option<NaiveDate>| {
                let of_date = newest.last.filter(|last| Some(last.date) == date);
                Turn::of_level(rule, *level, kind, of_date, date)
            };
            // Of an earlier date, which was looked at when it was the last.
            let is_other_crossing = level.is_crossing() && dates[0] != dates[1];
            let ended = was && (!is || is_other_crossing);
            let began = is && !was && !is_other_crossing;
            if ended {
                // It began with the observation that was revised, or one before that.
                let is_withdrawn =
                    level.is_crossing() || !before.before.is_some_and(|b| level.holds(b.value));
                let kind = match is_withdrawn {
                    true => TurnKind::Withdrawn,
                    false => TurnKind::Ended,
                };
                turns.extend(turn(kind, after, dates[0]));
            }
            if began {
                let kind = match level.is_crossing() {
                    true => TurnKind::Happened,
                    false => TurnKind::Began,
                };
                turns.extend(turn(kind, after, dates[1]));
            }
        }
    }

    /// What is otherwise by a new observation. `is_old`: several are taken in one step, and crossings among them are
    /// not looked for.
    pub(crate) fn observed(
        &self,
        before: Newest,
        next: Observation,
        is_old: bool,
        turns: &mut Vec<Turn>,
    ) -> Newest {
        let after = before.then(next);
        // A crossing compares the two that the step is between, and nothing before them.
        let last = Newest {
            last: before.last,
            before: None,
        };
        for (rule, level) in self.between(
            last,
            Newest {
                before: None,
                ..after
            },
        ) {
            let kind = match level.is_crossing() {
                true if is_old || !after.crosses(*level) => continue,
                true => TurnKind::Happened,
                false => match (before.holds(*level), after.holds(*level)) {
                    (false, true) => TurnKind::Began,
                    (true, false) => TurnKind::Ended,
                    _ => continue,
                },
            };
            let date = Some(next.date);
            let turn = Turn::of_level(rule, *level, kind, after.last, date);
            turns.extend(turn.map(|turn| Turn { is_old, ..turn }));
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn newest(value: i64) -> Newest {
        let observation = Observation {
            date: NaiveDate::MIN,
            value: value.into(),
            known_from: DateTime::UNIX_EPOCH,
        };
        Newest {
            last: Some(observation),
            before: None,
        }
    }

    /// Counted, as times differ from machine to machine.
    #[test]
    fn only_rules_with_a_bound_between_two_values_are_looked_at() {
        let mut levels = Levels::default();
        for bound in 0..10_000_i64 {
            let (low, high) = (Decimal::from(bound), Decimal::from(bound + 20_000));
            levels.add(
                &format!("gt-{bound}").as_str().into(),
                Level::Above(low, false),
            );
            levels.add(
                &format!("in-{bound}").as_str().into(),
                Level::Between(low, high),
            );
        }
        let looked_at = |from, to| levels.between(newest(from), newest(to)).count();
        assert_eq!(looked_at(-5, -3), 0);
        assert_eq!(looked_at(15_000, 15_900), 0);
        assert_eq!(looked_at(100, 101), 4);
        // Both bounds are passed, and the rule is looked at once.
        assert_eq!(looked_at(-1, 40_000), 20_000);
    }
}
