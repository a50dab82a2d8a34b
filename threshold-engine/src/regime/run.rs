use std::sync::Arc;

use chrono::NaiveDate;
use serde::Serialize;

use super::decide::World;
use super::{Regime, RegimeState};
use crate::emission::Emission;
use crate::pattern::{Emitted, PatternRun};
use evaluation::Work;
use evaluation::expression::{DateRange, Graph};
use evaluation::series::{Cause, Change, SeriesIndex, SeriesStore, StepChanges};

/// Since when which state has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) state: usize,
    pub(super) since: NaiveDate,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    date: NaiveDate,
    current: Place,
    /// The state before, where another one began at this date.
    left: Option<usize>,
}

/// Date, state before and state after.
pub(crate) type Key = (NaiveDate, usize, usize);

impl Step {
    fn key(&self) -> Option<Key> {
        Some((self.date, self.left?, self.current.state))
    }
}

/// A date whose transition is another one than before.
struct Difference {
    date: NaiveDate,
    before: Option<Key>,
    after: Option<Key>,
}

/// A time for which a regime held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegimeSpell {
    /// Which state.
    pub state: String,
    /// First evaluated date.
    pub since: NaiveDate,
}

/// A running regime model.
#[derive(Clone, Debug)]
pub struct RegimeRun {
    pub(super) model: Arc<Regime>,
    pub(super) graph: Graph,
    steps: Vec<Step>,
    pub(super) emitted: Emitted<Key>,
    /// Where the points of the step at hand may have altered the conditions.
    altered: Option<DateRange>,
    /// What it was after the last step that was evaluated completely.
    pub(super) settled: Option<Place>,
}

impl RegimeRun {
    /// Folds everything that there is. Nothing is emitted for it.
    pub(crate) fn new(
        model: Arc<Regime>,
        store: &mut SeriesStore,
        patterns: &[PatternRun],
    ) -> Self {
        let graph = Graph::new(model.program.clone(), store);
        let mut run = Self {
            model,
            graph,
            steps: Vec::new(),
            emitted: Emitted::new(),
            altered: None,
            settled: None,
        };
        let world = World { store, patterns };
        let mut before = None;
        for date in run.all_dates(world) {
            let step = run.step(before, date, world);
            run.emitted_silently(&step);
            before = Some(step.current);
            run.steps.push(step);
        }
        run.settled = before;
        run
    }

    /// Bounds what is evaluated from now on.
    pub(crate) fn limit(&mut self, work: Work) {
        self.graph.limit(work);
    }

    /// What its conditions are evaluated with.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes over all changes of a step together, the earliest of them at `first`.
    pub(crate) fn refill(&mut self, store: &SeriesStore, first: NaiveDate) {
        self.altered = Some(self.graph.refill(store, first));
    }

    /// Why it cannot be evaluated any further, where that is so.
    pub(crate) fn too_costly(&self) -> Option<String> {
        self.graph.too_costly()
    }

    /// The newest evaluated date, and the state that holds at it, by its place in the model.
    pub(super) fn last(&self) -> Option<(NaiveDate, Place)> {
        let last = self.steps.last()?;
        Some((last.date, last.current))
    }

    fn emitted_silently(&mut self, step: &Step) {
        if let Some(key) = step.key() {
            self.emitted.assume(key);
        }
    }

    /// Over other patterns, or another version: where both emitted the same, revisions name its events.
    pub(crate) fn take_over_from(&mut self, before: &Self) {
        let states = |run: &Self| {
            run.model
                .states
                .iter()
                .map(|s| s.id.clone())
                .collect::<Vec<_>>()
        };
        if states(self) == states(before) {
            self.emitted.adopt(&before.emitted);
        }
    }

    fn all_dates(&self, world: World<'_>) -> Vec<NaiveDate> {
        let mut dates = self.graph.dates(world.store);
        for run in self
            .model
            .patterns
            .iter()
            .filter_map(|id| world.pattern(id))
        {
            dates.extend(run.steps().iter().map(|step| step.date));
        }
        dates.sort_unstable();
        dates.dedup();
        dates
    }

    /// The definition.
    pub fn model(&self) -> &Arc<Regime> {
        &self.model
    }

    /// The series that it reads itself.
    pub fn series(&self) -> &[SeriesIndex] {
        self.graph.series()
    }

    /// What was emitted about it.
    pub(crate) fn emitted(&self) -> &Emitted<Key> {
        &self.emitted
    }

    /// The same, to be changed with its parts.
    pub(crate) fn emitted_mut(&mut self) -> &mut Emitted<Key> {
        &mut self.emitted
    }

    /// The state that holds at a date, and since when; `None` before the first evaluation.
    pub fn state_at(&self, date: NaiveDate) -> Option<(&str, NaiveDate)> {
        let after = self.steps.partition_point(|step| step.date <= date);
        let current = self.steps[..after].last()?.current;
        Some((&self.model.states[current.state].id, current.since))
    }

    /// The newest evaluated date.
    pub fn last_date(&self) -> Option<NaiveDate> {
        Some(self.steps.last()?.date)
    }

    /// Every state that held, as known now, from the initial one on.
    pub fn spells(&self) -> Vec<RegimeSpell> {
        let mut spells = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            if index == 0 || step.left.is_some() {
                spells.push(RegimeSpell {
                    state: self.model.states[step.current.state].id.clone(),
                    since: step.date,
                });
            }
        }
        spells
    }

    /// Takes over what a point changed in a series of its own, if it is one. What follows from it is
    /// looked at by [`Self::finish_step`], once for all points of the step.
    pub(crate) fn update(&mut self, store: &SeriesStore, series: SeriesIndex, change: Change) {
        if self.graph.series().contains(&series) {
            self.graph.begin_allowance();
            self.graph.update(store, series, change);
            let ranges = [self.altered, self.graph.altered_anywhere()];
            self.altered = ranges.into_iter().flatten().reduce(DateRange::hull);
        }
    }

    /// Folds again what the points of a step altered, in its series and through the patterns
    /// (`by_patterns`: where one of the model's patterns may be active otherwise than before).
    pub(crate) fn finish_step(
        &mut self,
        world: World<'_>,
        changes: &StepChanges,
        by_patterns: Option<DateRange>,
        cause: &Cause,
        out: &mut Vec<Emission>,
    ) {
        self.graph.begin_allowance();
        let mut range = [self.altered.take(), by_patterns]
            .into_iter()
            .flatten()
            .reduce(DateRange::hull);
        let mut differences = Vec::new();
        for date in changes.dates() {
            if self.sync_date(*date, world, &mut differences) {
                let day = DateRange {
                    first: *date,
                    last: *date,
                };
                range = Some(range.map_or(day, |range| range.hull(day)));
            }
        }
        if let Some(range) = range {
            self.fold(range, world, &mut differences);
        }
        self.settled = self.last().map(|(_, now)| now);
        if differences.is_empty() {
            return;
        }
        let of_patterns = self
            .model
            .patterns
            .iter()
            .filter_map(|id| world.pattern(id));
        let of_patterns = of_patterns.flat_map(|run| run.series().iter().copied());
        let all = self.series().iter().copied().chain(of_patterns);
        let news_from = changes.news_from(all);
        differences.sort_unstable_by_key(|difference| difference.date);
        for difference in differences {
            if let Some(key) = difference.before {
                self.emit(key, true, false, world, cause, out);
            }
            if let Some(key) = difference.after {
                let is_news = news_from.is_some_and(|first| key.0 >= first);
                let revised = !is_news || self.emitted.knows(&key);
                self.emit(key, revised, true, world, cause, out);
            }
        }
    }

    /// Makes the date an evaluated one if, and only if, a series or a pattern of the model has it.
    /// Whether that changes anything.
    fn sync_date(
        &mut self,
        date: NaiveDate,
        world: World<'_>,
        differences: &mut Vec<Difference>,
    ) -> bool {
        let of_pattern = |id: &String| {
            let step = world.pattern(id).and_then(|run| run.step_at(date));
            step.is_some_and(|step| step.date == date)
        };
        let present =
            self.graph.has_date(date, world.store) || self.model.patterns.iter().any(of_pattern);
        match self.steps.binary_search_by_key(&date, |step| step.date) {
            Err(index) if present => {
                let step = Step {
                    date,
                    current: self.place_before(index, date),
                    left: None,
                };
                self.steps.insert(index, step);
                true
            }
            Ok(index) if !present => {
                let before = self.steps.remove(index).key();
                differences.extend(before.map(|key| Difference {
                    date,
                    before: Some(key),
                    after: None,
                }));
                true
            }
            _ => false,
        }
    }

    fn place_before(&self, index: usize, date: NaiveDate) -> Place {
        let before = index.checked_sub(1).map(|index| self.steps[index].current);
        before.unwrap_or(Place {
            state: self.model.initial,
            since: date,
        })
    }

    fn fold(&mut self, range: DateRange, world: World<'_>, differences: &mut Vec<Difference>) {
        let first = self.steps.partition_point(|step| step.date < range.first);
        let conditions = self.model.states.iter().flat_map(RegimeState::conditions);
        let conditions = conditions.count();
        for index in first..self.steps.len() {
            // What is folded so far means nothing then.
            if self.graph.work().is_spent() {
                break;
            }
            self.graph.work().spend(conditions.max(1));
            let old = self.steps[index];
            let before = index.checked_sub(1).map(|index| self.steps[index].current);
            let step = self.step(before, old.date, world);
            self.steps[index] = step;
            if old.key() != step.key() {
                differences.push(Difference {
                    date: step.date,
                    before: old.key(),
                    after: step.key(),
                });
            }
            if step.date > range.last && step.current == old.current {
                break;
            }
        }
    }

    fn step(&self, before: Option<Place>, date: NaiveDate, world: World<'_>) -> Step {
        let before = before.unwrap_or(Place {
            state: self.model.initial,
            since: date,
        });
        let next = self.next_state(before, date, world);
        if next == before.state {
            return Step {
                date,
                current: before,
                left: None,
            };
        }
        Step {
            date,
            current: Place {
                state: next,
                since: date,
            },
            left: Some(before.state),
        }
    }
}
