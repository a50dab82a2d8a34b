use std::sync::Arc;

use chrono::NaiveDate;

use crate::emission::Emission;
use crate::expression::DateRange;
use crate::machine::PatternRun;
use crate::pattern::Pattern;
use crate::regime::World;
use crate::regime::{Regime, RegimeRun};
use crate::series::{Point, SeriesStore};
use crate::work::{Work, WorkSpent};

/// All patterns and regimes at work on one sequence of points.
///
/// What is emitted depends on the sequence alone: not on how points were grouped, on time, or on
/// restarts. After a restart the same points, played through [`Engine::apply`] with the emissions
/// dropped, or [`Engine::rebuild`], make the same engine, down to the ids of what it emits later. Where
/// definitions were replaced on the way, replacing them at the same places makes it the same too.
#[derive(Clone, Debug)]
pub struct Engine {
    store: SeriesStore,
    /// By id, ascending: the order of emissions.
    patterns: Vec<PatternRun>,
    /// By id, ascending.
    regimes: Vec<RegimeRun>,
    /// For each series of the store, the patterns that read it, by their place.
    readers: Vec<Vec<usize>>,
    /// For each pattern, where the point at hand changed when it is active.
    altered: Vec<Option<DateRange>>,
    /// How often a point made a pattern look at its condition.
    evaluations: u64,
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
            patterns: Vec::new(),
            regimes: Vec::new(),
            readers: Vec::new(),
            altered: Vec::new(),
            evaluations: 0,
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

    /// Takes one point in and adds what is to be told of it: crossings by pattern id and date, then
    /// transitions by model id and date. Points of series that nothing reads change nothing.
    pub fn apply(&mut self, point: &Point, out: &mut Vec<Emission>) {
        let Some(series) = self.store.find(&point.series) else {
            return;
        };
        let observations = self.store.get_mut(series);
        let Some(change) = observations.apply(point.date, point.known_from, point.value) else {
            return;
        };
        self.altered.fill(None);
        self.evaluations += self.readers[series.0].len() as u64;
        for place in &self.readers[series.0] {
            let run = &mut self.patterns[*place];
            self.altered[*place] = run.update(&self.store, series, change, &point.cause, out);
        }
        let world = World {
            store: &self.store,
            patterns: &self.patterns,
        };
        for regime in &mut self.regimes {
            let altered = self
                .altered
                .iter()
                .zip(&self.patterns)
                .filter_map(|(range, run)| Some(((*range)?, run)))
                .filter(|(_, run)| regime.model().patterns.contains(&run.pattern().id))
                .map(|(range, _)| range)
                .reduce(DateRange::hull);
            regime.update(world, series, change, altered, &point.cause, out);
        }
    }

    /// Takes points in without telling anything, as after a restart.
    pub fn rebuild<'a>(&mut self, points: impl IntoIterator<Item = &'a Point>) {
        let mut dropped = Vec::new();
        for point in points {
            self.apply(point, &mut dropped);
            dropped.clear();
        }
    }

    /// As [`Engine::rebuild`], with a bound on the work; to be dropped if that was reached.
    ///
    /// # Errors
    /// [`WorkSpent`].
    pub fn rebuild_within<'a>(
        &mut self,
        points: impl IntoIterator<Item = &'a Point>,
        work: &Work,
    ) -> Result<(), WorkSpent> {
        for run in &mut self.patterns {
            run.limit(work.clone());
        }
        let mut dropped = Vec::new();
        for point in points {
            self.apply(point, &mut dropped);
            dropped.clear();
            work.spend(1);
            if work.is_spent() {
                return Err(WorkSpent);
            }
        }
        Ok(())
    }

    /// The series of a definition that are not held yet, whose points [`Engine::load`] is to be given
    /// before the definition is put to work.
    pub fn series_to_load<'a>(&self, series: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let missing = |id: &&str| self.store.find(id).is_none();
        series.into_iter().filter(missing).collect()
    }

    /// Takes in, silently, points of series that nothing reads yet.
    pub fn load<'a>(&mut self, points: impl IntoIterator<Item = &'a Point>) {
        for point in points {
            let series = self.store.keep(&point.series);
            let observations = self.store.get_mut(series);
            observations.apply(point.date, point.known_from, point.value);
        }
        self.note_readers();
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
        let before = self.regimes.len();
        self.regimes.retain(|run| run.model().id != id);
        before > self.regimes.len()
    }

    fn place_of_pattern(&self, id: &str) -> Result<usize, usize> {
        self.patterns
            .binary_search_by(|run| run.pattern().id.as_str().cmp(id))
    }

    fn put_pattern(&mut self, pattern: Arc<Pattern>) {
        let place = self.place_of_pattern(&pattern.id);
        let mut run = PatternRun::new(pattern, &mut self.store);
        match place {
            Ok(place) => {
                run.take_over_from(&self.patterns[place]);
                self.patterns[place] = run;
            }
            Err(place) => self.patterns.insert(place, run),
        }
    }

    fn put_regime(&mut self, regime: Arc<Regime>) {
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
        self.altered = vec![None; self.patterns.len()];
    }

    /// How often a point has made a pattern look at its condition since the engine was made.
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

    /// The newest date that any series held has an observation for.
    pub fn newest_date(&self) -> Option<NaiveDate> {
        let series = (0..self.readers.len()).map(crate::series::SeriesIndex);
        series
            .filter_map(|index| self.store.get(index).dates().last().copied())
            .max()
    }
}
