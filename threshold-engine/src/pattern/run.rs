use std::sync::Arc;

use chrono::NaiveDate;
use evaluation::{
    Work,
    expression::{DateRange, Graph},
    machine::{ConditionRun, Outcome, Spell, Step, Turn},
    series::{Cause, Change, SeriesIndex, SeriesStore, StepChanges},
};
use rust_decimal::Decimal;

use super::{Emitted, Pattern};
use crate::{CurrentState, Emission};

/// A running pattern: its condition, and what was emitted about it.
#[derive(Clone, Debug)]
pub struct PatternRun {
    pub(super) pattern: Arc<Pattern>,
    pub(super) run: ConditionRun,
    pub(super) emitted: Emitted<(NaiveDate, Turn)>,
}

impl PatternRun {
    /// Folds everything that the store has. Nothing is emitted for it.
    pub fn new(pattern: Arc<Pattern>, store: &mut SeriesStore) -> Self {
        let mut run = Self {
            run: ConditionRun::new(pattern.condition.clone(), store),
            pattern,
            emitted: Emitted::new(),
        };
        run.assume_all();
        run
    }

    /// What it was at its dates stands and nothing was emitted: it is deployed now.
    pub(crate) fn assume_all(&mut self) {
        let mut emitted = Emitted::new();
        for step in self.steps() {
            if let Some(turn) = step.turn {
                emitted.assume((step.date, turn));
            }
        }
        self.emitted = emitted;
    }

    /// What it is as of its newest evaluated date.
    pub(crate) fn current_state(&self) -> CurrentState {
        CurrentState::of_pattern(self.steps().last().map(|step| &step.state))
    }

    /// What it was after the last step that was evaluated completely.
    pub(crate) fn settled(&self) -> CurrentState {
        CurrentState::of_pattern(self.run.settled())
    }

    /// Why it cannot be evaluated any further, where that is so.
    pub(crate) fn too_costly(&self) -> Option<String> {
        self.run.graph().too_costly()
    }

    /// Of another version of the same pattern: where both emitted the same, revisions name its events.
    pub fn take_over_from(&mut self, before: &Self) {
        self.emitted.adopt(&before.emitted);
    }

    /// Bounds what is evaluated from now on.
    pub(crate) fn limit(&mut self, work: Work) {
        self.run.limit(work);
    }

    /// The definition.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// The series of each input.
    pub fn series(&self) -> &[SeriesIndex] {
        self.run.graph().series()
    }

    /// What its conditions are evaluated with.
    pub(crate) fn graph(&self) -> &Graph {
        self.run.graph()
    }

    /// Every evaluated date, ascending.
    pub fn steps(&self) -> &[Step] {
        self.run.steps()
    }

    /// The step that counts at a date.
    pub fn step_at(&self, date: NaiveDate) -> Option<&Step> {
        self.run.step_at(date)
    }

    /// Whether the pattern is active at a date; `None` before its first evaluation.
    pub fn is_active_at(&self, date: NaiveDate) -> Option<bool> {
        self.run.is_active_at(date)
    }

    /// As [`ConditionRun::shown_at`].
    pub fn shown_at(&self, date: NaiveDate) -> Option<(&'static str, NaiveDate)> {
        self.run.shown_at(date)
    }

    /// Every time for which it was active, as known now.
    pub fn spells(&self) -> Vec<Spell> {
        self.run.spells()
    }

    /// The pattern's condition at a date.
    pub fn outcome(&self, date: NaiveDate, store: &SeriesStore) -> Outcome {
        self.run.outcome(date, store)
    }

    /// Value and threshold at a date.
    pub fn shown(
        &self,
        date: NaiveDate,
        store: &SeriesStore,
    ) -> (Option<Decimal>, Option<Decimal>) {
        self.run.shown(date, store)
    }

    /// What was emitted about it.
    pub(crate) fn emitted(&self) -> &Emitted<(NaiveDate, Turn)> {
        &self.emitted
    }

    /// The same, to be changed together with its parts.
    pub(crate) fn emitted_mut(&mut self) -> &mut Emitted<(NaiveDate, Turn)> {
        &mut self.emitted
    }

    /// It reads the same series of another store from now on.
    pub(crate) fn move_to(&mut self, place: impl FnMut(SeriesIndex) -> SeriesIndex) {
        self.run.move_to(place);
    }

    /// As [`ConditionRun::update`].
    pub fn update(&mut self, store: &SeriesStore, series: SeriesIndex, change: Change) {
        self.run.update(store, series, change);
    }

    /// As [`ConditionRun::refill`].
    pub(crate) fn refill(&mut self, store: &SeriesStore, first: NaiveDate) {
        self.run.refill(store, first);
    }

    /// Folds again what the points of a step altered, and tells what is otherwise by them. Gives the
    /// dates for which [`Self::is_active_at`] may answer otherwise, if there are any.
    pub fn finish_step(
        &mut self,
        store: &SeriesStore,
        changes: &StepChanges,
        cause: &Cause,
        out: &mut Vec<Emission>,
    ) -> Option<DateRange> {
        let finished = self.run.finish_step(store, changes)?;
        for difference in finished.differences {
            self.emit(&difference, store, cause, out);
        }
        finished.activity
    }
}
