//! Which state a model is in at a date.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::RegimeState;
use super::run::{Place, RegimeRun};
use crate::pattern::PatternRun;
use evaluation::expression::{NodeIndex, View};
use evaluation::series::SeriesStore;

/// Patterns and series, as a regime sees them.
#[derive(Clone, Copy)]
pub(crate) struct World<'a> {
    pub(crate) store: &'a SeriesStore,
    /// By id, ascending.
    pub(crate) patterns: &'a [PatternRun],
}

impl<'a> World<'a> {
    pub(super) fn pattern(self, id: &str) -> Option<&'a PatternRun> {
        let place = self
            .patterns
            .binary_search_by(|run| run.pattern().id.as_str().cmp(id));
        Some(&self.patterns[place.ok()?])
    }

    fn is_active(self, id: &str, date: NaiveDate) -> Option<bool> {
        self.pattern(id)?.is_active_at(date)
    }
}

impl RegimeRun {
    /// A state of higher precedence takes over as soon as it holds. For one of lower precedence the
    /// present one has to have dwelt for long enough, and must be known not to stay.
    pub(super) fn next_state(&self, now: Place, date: NaiveDate, world: World<'_>) -> usize {
        let states = &self.model.states;
        let holds = |state: &RegimeState| self.enters(state, date, world);
        let higher = states[..now.state].iter();
        if let Some(next) = higher.into_iter().position(|s| holds(s) == Some(true)) {
            return next;
        }
        let present = &states[now.state];
        let dwells = present
            .min_dwell
            .is_some_and(|dwell| date < dwell.after(now.since, &self.model.business));
        let stays = match present.stay {
            Some(stay) => self.truth(stay, date, world),
            None => holds(present),
        };
        if dwells || stays != Some(false) {
            return now.state;
        }
        let lower = &states[now.state + 1..];
        match lower.iter().position(|s| holds(s) == Some(true)) {
            Some(below) => now.state + 1 + below,
            None => now.state,
        }
    }

    fn enters(&self, state: &RegimeState, date: NaiveDate, world: World<'_>) -> Option<bool> {
        let scored = state
            .enter_at
            .is_none_or(|needed| self.score(state, date, world) >= needed);
        match state.enter {
            Some(enter) if scored => self.truth(enter, date, world),
            _ => Some(scored),
        }
    }

    pub(super) fn score(&self, state: &RegimeState, date: NaiveDate, world: World<'_>) -> Decimal {
        // As models are read, no sum of weights has more digits than a decimal.
        let signals = state.signals.iter();
        signals
            .filter(|(when, _)| self.truth(*when, date, world) == Some(true))
            .fold(Decimal::ZERO, |sum, (_, weight)| {
                sum.saturating_add(*weight)
            })
    }

    pub(super) fn truth(&self, node: NodeIndex, date: NaiveDate, world: World<'_>) -> Option<bool> {
        let view = View {
            store: world.store,
            active: &|id, date| world.is_active(id, date),
        };
        self.graph.evaluate(node, date, view).truth()
    }

    pub(super) fn triggers(
        &self,
        state: &RegimeState,
        date: NaiveDate,
        world: World<'_>,
    ) -> Vec<String> {
        let entering = state.enter.into_iter();
        let signals = state.signals.iter().map(|(when, _)| *when);
        let mut triggers: Vec<String> = entering
            .chain(signals)
            .flat_map(|node| self.model.program.patterns_of(node))
            .filter(|id| world.is_active(id, date) == Some(true))
            .map(str::to_owned)
            .collect();
        triggers.sort_unstable();
        triggers.dedup();
        triggers
    }
}
