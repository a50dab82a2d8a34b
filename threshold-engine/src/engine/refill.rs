//! Steps of many changes: a series that was rebased, a publish of thousands of revisions.
//!
//! Taken over one by one, each change makes the windows behind it look at their values again. Where that
//! could take a second, a definition computes all of its dates once instead.

use std::collections::BTreeSet;

use super::Engine;
use crate::definition::Kind;
use evaluation::expression::Graph;
use evaluation::series::{SeriesIndex, StepChanges};

/// From so much work on, in steps, a definition takes the changes of a step over together.
const STEPS_MAX: u64 = 50_000_000;

/// The definitions that take over the step at hand at its end, by their places.
#[derive(Clone, Debug)]
pub(super) struct Refilling {
    patterns: BTreeSet<usize>,
    regimes: BTreeSet<usize>,
    steps_max: u64,
}

impl Default for Refilling {
    fn default() -> Self {
        Self {
            patterns: BTreeSet::new(),
            regimes: BTreeSet::new(),
            steps_max: STEPS_MAX,
        }
    }
}

impl Refilling {
    pub(super) fn has(&self, kind: Kind, place: usize) -> bool {
        match kind {
            Kind::Pattern => self.patterns.contains(&place),
            Kind::Regime => self.regimes.contains(&place),
        }
    }
}

impl Engine {
    /// Finds the definitions that are to take over a step together, given the series of each of its changes.
    pub(super) fn begin_refilling(&mut self, changed: impl Iterator<Item = SeriesIndex>) {
        let (mut count, mut series) = (0, BTreeSet::new());
        for changed in changed {
            count += 1;
            series.insert(changed);
        }
        let steps_max = self.refilling.steps_max;
        // One change is within its bound by itself.
        if count <= 1 {
            return;
        }
        let is_much = |graph: &Graph| graph.steps_of(count) > steps_max;
        let readers = series.iter().flat_map(|series| &self.readers[series.0]);
        let patterns = readers.filter(|place| is_much(self.patterns[**place].graph()));
        self.refilling.patterns = patterns.copied().collect();
        let regimes = self.regimes.iter().enumerate();
        let regimes = regimes.filter(|(_, run)| is_much(run.graph()));
        self.refilling.regimes = regimes.map(|(place, _)| place).collect();
    }

    /// All changes of the step are in the store.
    pub(super) fn refill(&mut self, changes: &StepChanges) {
        let patterns = std::mem::take(&mut self.refilling.patterns);
        let regimes = std::mem::take(&mut self.refilling.regimes);
        let Some(first) = changes.first_date() else {
            return;
        };
        for place in patterns {
            let run = &mut self.patterns[place];
            let refill = || run.refill(&self.store, first);
            self.failing.guard(Kind::Pattern, place, refill);
        }
        for place in regimes {
            let run = &mut self.regimes[place];
            let refill = || run.refill(&self.store, first);
            self.failing.guard(Kind::Regime, place, refill);
        }
    }

    /// From another amount of work on.
    #[cfg(test)]
    pub(super) fn refill_beyond(&mut self, steps_max: u64) {
        self.refilling.steps_max = steps_max;
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
    use ulid::Ulid;

    use crate::{Engine, engine::samples::pattern};
    use evaluation::series::{Cause, Point};

    const DATES: u64 = 9_000;

    /// All dates, known from one moment.
    fn release(position: u64, factor: i64) -> Vec<Point> {
        let first = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
        let occurred_at = DateTime::<Utc>::from_timestamp(1_770_000_000, 0).unwrap()
            + TimeDelta::hours(position.cast_signed());
        let point = |day: u64| Point {
            cause: Cause {
                source: "log".into(),
                position,
                index: u32::try_from(day).unwrap(),
                event_id: Ulid::from_parts(position, 7),
                occurred_at,
            },
            series: "A".into(),
            date: first + Days::new(day),
            known_from: occurred_at,
            value: Some((factor * i64::try_from(day * 7_919 % 1_000).unwrap()).into()),
        };
        (0..DATES).map(point).collect()
    }

    /// One by one this is 560 million steps of work, for which the session of the transaction would not
    /// have waited. Nothing is suspended for it either.
    #[test]
    fn a_series_that_is_rebased_costs_what_its_dates_cost() {
        let costly = pattern("costly", "when = 'A.zscore(250) > 1.7'", &["A"]);
        let play = |engine: &mut Engine, points: &[Point]| {
            let mut out = Vec::new();
            engine.apply(points, &mut out);
            assert!(engine.failed().is_empty());
            out.len()
        };
        let mut engine = Engine::new([costly.clone()], []);
        assert!(play(&mut engine, &release(1, 1)) > 100);
        // A z-score is the same on any base.
        assert_eq!(play(&mut engine, &release(2, 10)), 0);
        engine.keep_undo();
        let mut in_part = release(3, 1);
        in_part.truncate(4_000);
        assert!(play(&mut engine, &in_part) > 0);
        assert!(engine.undo());
        let mut twin = Engine::new([costly], []);
        play(&mut twin, &release(1, 1));
        play(&mut twin, &release(2, 10));
        assert_eq!(engine.facts(), twin.facts());
    }
}
