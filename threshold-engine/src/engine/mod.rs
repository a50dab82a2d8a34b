mod definitions;
#[cfg(test)]
mod differential;
mod failing;
mod image;
mod load;
mod prepare;
mod refill;
#[cfg(test)]
pub(crate) mod samples;
mod undo;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use crate::current_state::CurrentState;
use crate::definition::Kind;
use crate::emission::Emission;
use crate::pattern::Pattern;
use crate::pattern::PatternRun;
use crate::regime::World;
use crate::regime::{Regime, RegimeRun};
use evaluation::expression::DateRange;
use evaluation::series::{
    Cause, Change, Future, FutureObservations, Point, SeriesIndex, SeriesStore, StepChanges, TIME,
    moment, reached, steps,
};
use evaluation::{Work, WorkSpent};
pub(crate) use prepare::PreparedPattern;
use refill::Refilling;
use undo::Undo;

pub use failing::Failed;
use failing::Failing;

/// All patterns and regimes running on one sequence of points.
///
/// Points come in steps: those of one event that became known at one moment. What is emitted depends on
/// the sequence of steps alone: not on how they were grouped, on time, or on restarts. After a restart
/// the same points, played through [`Engine::apply`] with the emissions dropped, or
/// [`Engine::rebuild`], make the same engine, down to the ids of what it emits later. Where definitions
/// were replaced on the way, replacing them at the same places makes it the same too.
///
/// An observation dated in the future, by the moment of its step, is kept aside. It takes part in the
/// first step whose moment has reached its date.
///
/// A definition that cannot be evaluated is taken away after the step that it fails at, and emits nothing
/// for it ([`Engine::failed`]). The same points make it fail at the same step.
#[derive(Clone, Debug)]
pub struct Engine {
    store: SeriesStore,
    future: FutureObservations,
    /// The last date that any step has reached.
    reached: Option<NaiveDate>,
    /// By id, ascending: the order of emissions.
    patterns: Vec<PatternRun>,
    /// By id, ascending.
    regimes: Vec<RegimeRun>,
    /// For each series of the store, the patterns that read it, by their place.
    readers: Vec<Vec<usize>>,
    /// How often a step made a pattern look at its condition.
    evaluations: u64,
    /// What leads back to where [`Self::keep_undo`] was called last.
    undo: Option<Undo>,
    /// In the step at hand.
    failing: Failing,
    failed: Vec<Failed>,
    refilling: Refilling,
}

impl Engine {
    /// With nothing observed yet. Disabled patterns are left out; of two definitions with one id the
    /// later counts.
    pub fn new(
        patterns: impl IntoIterator<Item = Arc<Pattern>>,
        regimes: impl IntoIterator<Item = Arc<Regime>>,
    ) -> Self {
        let mut engine = Self {
            store: SeriesStore::default(),
            future: FutureObservations::default(),
            reached: None,
            patterns: Vec::new(),
            regimes: Vec::new(),
            readers: Vec::new(),
            evaluations: 0,
            undo: None,
            failing: Failing::default(),
            failed: Vec::new(),
            refilling: Refilling::default(),
        };
        for pattern in patterns.into_iter().filter(|pattern| pattern.enabled) {
            engine.put_pattern(pattern);
        }
        for regime in regimes {
            engine.put_regime(regime);
        }
        engine.note_readers();
        engine
    }

    /// Takes the points of one step in and adds what is emitted for it: crossings by pattern id and
    /// date, then transitions by model id and date. Points of series that nothing reads change nothing.
    pub fn apply(&mut self, step: &[Point], out: &mut Vec<Emission>) {
        if let Some(moment) = step.iter().map(moment).max() {
            self.apply_at(moment, step, out);
        }
    }

    /// As [`Engine::apply`], at a moment that is known otherwise.
    pub(crate) fn apply_at(
        &mut self,
        moment: DateTime<Utc>,
        step: &[Point],
        out: &mut Vec<Emission>,
    ) {
        let read: Vec<_> = step
            .iter()
            .filter_map(|point| Some((self.store.find(&point.series)?, point)))
            .collect();
        let Some((_, last)) = read.last() else {
            return;
        };
        let reached = reached(moment);
        self.begin_step();
        self.reached = self.reached.max(Some(reached));
        let mut changes = StepChanges::default();
        let due = self.future.take_to(reached);
        let changed = read.iter().map(|(series, _)| *series);
        let changed = changed.chain(due.iter().map(|(_, series, _)| *series));
        self.begin_refilling(changed);
        for (date, series, future) in due {
            self.note_future(date, series, Some(future));
            self.change(series, date, future, &mut changes);
        }
        for (series, point) in &read {
            if point.date > reached {
                self.note_future(point.date, *series, self.future.get(point.date, *series));
                self.future.keep(*series, point);
            } else {
                let (known_from, value) = (point.known_from, point.value);
                let vintage = Future { known_from, value };
                self.change(*series, point.date, vintage, &mut changes);
            }
        }
        self.refill(&changes);
        if changes.complete(&self.store) || !self.failing.is_empty() {
            self.finish_step(&changes, &last.cause, out);
        }
        self.end_step();
    }

    /// Changes one value, and what patterns and regimes keep of it.
    fn change(
        &mut self,
        series: SeriesIndex,
        date: NaiveDate,
        vintage: Future,
        changes: &mut StepChanges,
    ) {
        self.note_observation(series, date);
        let observations = self.store.get_mut(series);
        if let Some(change) = observations.apply(date, vintage.known_from, vintage.value) {
            self.changed(series, change, changes);
        }
    }

    /// One value has changed.
    fn changed(&mut self, series: SeriesIndex, change: Change, changes: &mut StepChanges) {
        changes.add(series, change);
        for place in &self.readers[series.0] {
            if self.refilling.has(Kind::Pattern, *place) {
                continue;
            }
            let run = &mut self.patterns[*place];
            let update = || run.update(&self.store, series, change);
            self.failing.guard(Kind::Pattern, *place, update);
        }
        for (place, run) in self.regimes.iter_mut().enumerate() {
            if self.refilling.has(Kind::Regime, place) {
                continue;
            }
            let update = || run.update(&self.store, series, change);
            self.failing.guard(Kind::Regime, place, update);
        }
    }

    fn finish_step(&mut self, changes: &StepChanges, cause: &Cause, out: &mut Vec<Emission>) {
        let places: BTreeSet<usize> = changes
            .series()
            .flat_map(|series| self.readers[series.0].iter().copied())
            .collect();
        self.evaluations += places.len() as u64;
        let mut altered: Vec<(Arc<Pattern>, DateRange)> = Vec::new();
        let mut emitted = Vec::new();
        for place in places {
            let run = &mut self.patterns[place];
            let finish = || run.finish_step(&self.store, changes, cause, &mut emitted);
            let range = self.failing.guard(Kind::Pattern, place, finish);
            let run = &self.patterns[place];
            match range {
                Some(range) if self.failing.accept(Kind::Pattern, place, run.too_costly()) => {
                    out.append(&mut emitted);
                    altered.extend(range.map(|range| (run.pattern().clone(), range)));
                }
                _ => emitted.clear(),
            }
        }
        let gone = self.take_failing_patterns(cause);
        let world = World {
            store: &self.store,
            patterns: &self.patterns,
        };
        for (place, run) in self.regimes.iter_mut().enumerate() {
            let asks = |id: &String| run.model().patterns.contains(id);
            if gone.iter().any(asks) {
                // Folded anew below.
                continue;
            }
            let by_patterns = altered
                .iter()
                .filter(|(pattern, _)| asks(&pattern.id))
                .map(|(_, range)| *range)
                .reduce(DateRange::hull);
            let finish = || {
                run.finish_step(world, changes, by_patterns, cause, &mut emitted);
                run.too_costly()
            };
            let finished = self.failing.guard(Kind::Regime, place, finish);
            if finished.is_some_and(|reason| self.failing.accept(Kind::Regime, place, reason)) {
                out.append(&mut emitted);
            } else {
                emitted.clear();
            }
        }
        for (place, reason) in self.failing.take(Kind::Regime) {
            self.undo = None;
            let run = self.regimes.remove(place);
            self.failed
                .push(Failed::of_regime(&run, reason, Some(cause)));
        }
        if !gone.is_empty() {
            let shifts = self.refold_regimes(&gone, Some(cause));
            let mut failed = self.failed.iter_mut();
            if let Some(failed) = failed.rfind(|failed| failed.kind == Kind::Pattern) {
                failed.shifts = shifts;
            }
        }
    }

    /// Takes the patterns away that failed in the step at hand; gives their ids.
    fn take_failing_patterns(&mut self, cause: &Cause) -> Vec<String> {
        let mut gone = Vec::new();
        for (place, reason) in self.failing.take(Kind::Pattern) {
            self.undo = None;
            let run = self.patterns.remove(place);
            gone.push(run.pattern().id.clone());
            self.failed
                .push(Failed::of_pattern(&run, reason, Some(cause)));
        }
        if !gone.is_empty() {
            self.note_readers();
        }
        gone
    }

    /// The definitions that failed since the engine was made or [`Self::take_failed`] was called, in order.
    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// The same from a place in the order on, to be forgotten.
    pub fn take_failed(&mut self, from: usize) -> Vec<Failed> {
        self.failed.split_off(from.min(self.failed.len()))
    }

    /// Takes points in, step by step, and emits nothing, as after a restart.
    pub fn rebuild(&mut self, points: &[Point]) {
        let mut dropped = Vec::new();
        for step in steps(points) {
            self.apply(step, &mut dropped);
            dropped.clear();
        }
    }

    /// As [`Engine::rebuild`], with a bound on the work; to be dropped if that was reached.
    ///
    /// # Errors
    /// [`WorkSpent`].
    pub fn rebuild_within(&mut self, points: &[Point], work: &Work) -> Result<(), WorkSpent> {
        for run in &mut self.patterns {
            run.limit(work.clone());
        }
        for run in &mut self.regimes {
            run.limit(work.clone());
        }
        let mut dropped = Vec::new();
        for step in steps(points) {
            self.apply(step, &mut dropped);
            dropped.clear();
            work.spend(step.len());
            if work.is_spent() || !self.failed.is_empty() {
                return Err(WorkSpent);
            }
        }
        Ok(())
    }

    /// How often a step has made a pattern look at its condition since the engine was made.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Every running pattern, by id.
    pub fn patterns(&self) -> &[PatternRun] {
        &self.patterns
    }

    /// Every running regime model, by id.
    pub fn regimes(&self) -> &[RegimeRun] {
        &self.regimes
    }

    /// Whether a running definition is evaluated every day that passes.
    pub fn is_daily(&self) -> bool {
        let patterns = self.patterns.iter().map(|run| run.pattern().program());
        let regimes = self.regimes.iter().map(|run| run.model().program.as_ref());
        patterns.chain(regimes).any(|program| program.is_daily())
    }

    /// The last day that has passed, as recorded; `None` if nothing was ever evaluated daily.
    pub fn last_passed(&self) -> Option<NaiveDate> {
        let days = self.store.get(self.store.find(TIME)?).dates();
        days.last().copied()
    }

    /// A running pattern.
    pub fn pattern(&self, id: &str) -> Option<&PatternRun> {
        Some(&self.patterns[self.place_of_pattern(id).ok()?])
    }

    fn place_of_regime(&self, id: &str) -> Result<usize, usize> {
        self.regimes
            .binary_search_by(|run| run.model().id.as_str().cmp(id))
    }

    /// A running regime model.
    pub fn regime(&self, id: &str) -> Option<&RegimeRun> {
        Some(&self.regimes[self.place_of_regime(id).ok()?])
    }

    /// What a definition is as of its newest evaluated date; `None` if it is not running.
    pub fn current_state(&self, kind: Kind, id: &str) -> Option<CurrentState> {
        match kind {
            Kind::Pattern => self.pattern(id).map(PatternRun::current_state),
            Kind::Regime => self.regime(id).map(RegimeRun::current_state),
        }
    }

    /// The observations held.
    pub fn store(&self) -> &SeriesStore {
        &self.store
    }

    pub(crate) fn world(&self) -> World<'_> {
        World {
            store: &self.store,
            patterns: &self.patterns,
        }
    }
}
