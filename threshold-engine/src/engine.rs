mod image;
mod load;
mod prepare;
#[cfg(test)]
pub(crate) mod samples;
mod undo;

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};

use crate::emission::Emission;
use crate::expression::DateRange;
use crate::machine::PatternRun;
use crate::pattern::Pattern;
use crate::regime::World;
use crate::regime::{Regime, RegimeRun};
use crate::series::{
    Cause, Change, Future, FutureObservations, Point, SeriesIndex, SeriesStore, StepChanges,
    moment, reached, steps,
};
use crate::work::{Work, WorkSpent};
pub(crate) use prepare::PreparedPattern;
use undo::Undo;

/// All patterns and regimes at work on one sequence of points.
///
/// Points come in steps: those of one event that became known at one moment. What is emitted depends on
/// the sequence of steps alone: not on how they were grouped, on time, or on restarts. After a restart
/// the same points, played through [`Engine::apply`] with the emissions dropped, or
/// [`Engine::rebuild`], make the same engine, down to the ids of what it emits later. Where definitions
/// were replaced on the way, replacing them at the same places makes it the same too.
///
/// An observation dated in the future, by the moment of its step, is kept aside. It takes part in the
/// first step whose moment has reached its date.
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
        for (date, series, future) in self.future.take_to(reached) {
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
        if changes.complete(&self.store) {
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
            self.patterns[*place].update(&self.store, series, change);
        }
        for regime in &mut self.regimes {
            regime.update(&self.store, series, change);
        }
    }

    fn finish_step(&mut self, changes: &StepChanges, cause: &Cause, out: &mut Vec<Emission>) {
        let places: BTreeSet<usize> = changes
            .series()
            .flat_map(|series| self.readers[series.0].iter().copied())
            .collect();
        self.evaluations += places.len() as u64;
        let mut altered = Vec::new();
        for place in places {
            let range = self.patterns[place].finish_step(&self.store, changes, cause, out);
            altered.extend(range.map(|range| (place, range)));
        }
        let world = World {
            store: &self.store,
            patterns: &self.patterns,
        };
        for regime in &mut self.regimes {
            let asked = |place: usize| {
                let id = &self.patterns[place].pattern().id;
                regime.model().patterns.contains(id)
            };
            let by_patterns = altered
                .iter()
                .filter(|(place, _)| asked(*place))
                .map(|(_, range)| *range)
                .reduce(DateRange::hull);
            regime.finish_step(world, changes, by_patterns, cause, out);
        }
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
        let mut dropped = Vec::new();
        for step in steps(points) {
            self.apply(step, &mut dropped);
            dropped.clear();
            work.spend(step.len());
            if work.is_spent() {
                return Err(WorkSpent);
            }
        }
        Ok(())
    }

    /// Puts a pattern, or a new version of one, to work. It is folded over everything held without
    /// telling anything; from the next point on it tells. A disabled one is taken away.
    pub fn replace_pattern(&mut self, pattern: Arc<Pattern>) {
        if !pattern.enabled {
            self.remove_pattern(&pattern.id);
            return;
        }
        let id = pattern.id.clone();
        self.put_pattern(pattern);
        self.note_readers();
        self.refold_regimes(&id);
    }

    /// Takes a pattern away. False if there is none of that id.
    pub fn remove_pattern(&mut self, id: &str) -> bool {
        let Ok(place) = self.place_of_pattern(id) else {
            return false;
        };
        self.undo = None;
        self.patterns.remove(place);
        self.note_readers();
        self.refold_regimes(id);
        true
    }

    /// Puts a model of regimes, or a new version of one, to work, silently as with patterns.
    pub fn replace_regime(&mut self, regime: Arc<Regime>) {
        self.put_regime(regime);
        self.note_readers();
    }

    /// Takes a model away. False if there is none of that id.
    pub fn remove_regime(&mut self, id: &str) -> bool {
        self.undo = None;
        let before = self.regimes.len();
        self.regimes.retain(|run| run.model().id != id);
        before > self.regimes.len()
    }

    fn place_of_pattern(&self, id: &str) -> Result<usize, usize> {
        self.patterns
            .binary_search_by(|run| run.pattern().id.as_str().cmp(id))
    }

    fn put_pattern(&mut self, pattern: Arc<Pattern>) {
        let run = PatternRun::new(pattern, &mut self.store);
        self.put_run(run);
    }

    fn put_run(&mut self, mut run: PatternRun) {
        self.undo = None;
        match self.place_of_pattern(&run.pattern().id) {
            Ok(place) => {
                run.take_over_from(&self.patterns[place]);
                self.patterns[place] = run;
            }
            Err(place) => self.patterns.insert(place, run),
        }
    }

    fn put_regime(&mut self, regime: Arc<Regime>) {
        self.undo = None;
        let place = self
            .regimes
            .binary_search_by(|run| run.model().id.cmp(&regime.id));
        let mut run = RegimeRun::new(regime, &mut self.store, &self.patterns);
        match place {
            Ok(place) => {
                run.take_over_from(&self.regimes[place]);
                self.regimes[place] = run;
            }
            Err(place) => self.regimes.insert(place, run),
        }
    }

    fn refold_regimes(&mut self, pattern_id: &str) {
        let asking = |run: &&RegimeRun| run.model().patterns.iter().any(|id| id == pattern_id);
        let models: Vec<_> = self.regimes.iter().filter(asking).collect();
        let models: Vec<_> = models.iter().map(|run| run.model().clone()).collect();
        for model in models {
            self.put_regime(model);
        }
    }

    fn note_readers(&mut self) {
        self.readers = vec![Vec::new(); self.store.ids().count()];
        for (place, run) in self.patterns.iter().enumerate() {
            for series in run.series() {
                let readers = &mut self.readers[series.0];
                if readers.last() != Some(&place) {
                    readers.push(place);
                }
            }
        }
    }

    /// How often a step has made a pattern look at its condition since the engine was made.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Every pattern at work, by id.
    pub fn patterns(&self) -> &[PatternRun] {
        &self.patterns
    }

    /// Every model of regimes at work, by id.
    pub fn regimes(&self) -> &[RegimeRun] {
        &self.regimes
    }

    /// A pattern at work.
    pub fn pattern(&self, id: &str) -> Option<&PatternRun> {
        Some(&self.patterns[self.place_of_pattern(id).ok()?])
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
