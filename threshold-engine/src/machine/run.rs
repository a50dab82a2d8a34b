use std::sync::Arc;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::activity::Activity;
use super::emitted::Emitted;
use super::outcome::{Outcome, shown};
use super::state::{Signals, Spell, State, Turn};
use crate::emission::Emission;
use crate::expression::{DateRange, Graph, View};
use crate::pattern::Pattern;
use crate::series::{Cause, Change, SeriesIndex, SeriesStore, StepChanges};
use crate::standing::Standing;
use crate::work::Work;

/// One evaluated date of a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// A date at which an input has an observation, or a day that has passed.
    pub date: NaiveDate,
    signals: Signals,
    /// What the pattern was from this date on.
    pub state: State,
    /// What happened at it.
    pub turn: Option<Turn>,
}

/// A running pattern: its evaluated dates, and what was emitted about them.
#[derive(Clone, Debug)]
pub struct PatternRun {
    pub(super) pattern: Arc<Pattern>,
    pub(super) graph: Graph,
    steps: Vec<Step>,
    pub(super) emitted: Emitted<(NaiveDate, Turn)>,
    /// The inputs whose observations are counted for `when`, as bits.
    when_counted: u64,
    /// Likewise for the condition that clears.
    clear_counted: u64,
    /// Where the points of the step at hand may have altered the conditions.
    altered: Option<DateRange>,
    /// What it was after the last step that was evaluated completely.
    settled: Option<State>,
}

/// A date whose turn is another one than before.
pub(super) struct Difference {
    pub(super) date: NaiveDate,
    pub(super) before: Option<Turn>,
    pub(super) after: Option<Turn>,
}

impl PatternRun {
    /// Folds everything that the store has. Nothing is emitted for it.
    pub fn new(pattern: Arc<Pattern>, store: &mut SeriesStore) -> Self {
        let graph = Graph::new(pattern.program.clone(), store);
        let clear = pattern.clear_when.unwrap_or(pattern.when);
        let mut run = Self {
            when_counted: graph.counted_inputs(pattern.when),
            clear_counted: graph.counted_inputs(clear),
            pattern,
            graph,
            steps: Vec::new(),
            emitted: Emitted::new(),
            altered: None,
            settled: None,
        };
        let mut before = None;
        for date in run.graph.dates(store) {
            let step = run.step(before, date, run.signals(date, store));
            if let Some(turn) = step.turn {
                run.emitted.assume((date, turn));
            }
            before = Some(step.state);
            run.steps.push(step);
        }
        run.settled = before;
        run
    }

    /// What it is as of its newest evaluated date.
    pub(crate) fn standing(&self) -> Standing {
        Standing::of_pattern(self.steps.last().map(|step| &step.state))
    }

    /// What it was after the last step that was evaluated completely.
    pub(crate) fn settled(&self) -> Standing {
        Standing::of_pattern(self.settled.as_ref())
    }

    /// Why it cannot be evaluated any further, where that is so.
    pub(crate) fn too_costly(&self) -> Option<String> {
        self.graph.too_costly()
    }

    /// Of another version of the same pattern: where both emitted the same, revisions name its events.
    pub fn take_over_from(&mut self, before: &Self) {
        self.emitted.adopt(&before.emitted);
    }

    /// Bounds what is evaluated from now on.
    pub(crate) fn limit(&mut self, work: Work) {
        self.graph.limit(work);
    }

    /// The definition.
    pub fn pattern(&self) -> &Arc<Pattern> {
        &self.pattern
    }

    /// The series of each input.
    pub fn series(&self) -> &[SeriesIndex] {
        self.graph.series()
    }

    /// Every evaluated date, ascending.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step that counts at a date.
    pub fn step_at(&self, date: NaiveDate) -> Option<&Step> {
        let after = self.steps.partition_point(|s| s.date <= date);
        self.steps[..after].last()
    }

    /// Whether the pattern is active at a date; `None` before its first evaluation.
    pub fn is_active_at(&self, date: NaiveDate) -> Option<bool> {
        Some(self.step_at(date)?.state.phase.is_active())
    }

    /// What the pattern was at a date, and since which evaluated date: "no_data" while there is none, else
    /// the name of the phase. `None` before its first evaluation.
    pub fn shown_at(&self, date: NaiveDate) -> Option<(&'static str, NaiveDate)> {
        let after = self.steps.partition_point(|s| s.date <= date);
        let steps = &self.steps[..after];
        let state = steps.last()?.state;
        if !state.no_data {
            return Some((state.phase.name(), state.since));
        }
        // Looked for only here: were it part of the state, every date of a long time without data
        // would be another one whenever its beginning moves.
        let known = steps.iter().rposition(|step| !step.state.no_data);
        let first = steps.get(known.map_or(0, |index| index + 1))?;
        Some(("no_data", first.date))
    }

    /// Every time for which it was active, as known now.
    pub fn spells(&self) -> Vec<Spell> {
        let mut spells: Vec<Spell> = Vec::new();
        for step in &self.steps {
            match (step.turn, spells.last_mut()) {
                (Some(Turn::Entered), _) => spells.push(Spell {
                    entered: step.date,
                    cleared: None,
                }),
                (Some(Turn::Cleared), Some(spell)) => spell.cleared = Some(step.date),
                _ => {}
            }
        }
        spells
    }

    /// The pattern's condition at a date.
    pub fn outcome(&self, date: NaiveDate, store: &SeriesStore) -> Outcome {
        Outcome::of(&self.graph, self.pattern.when, date, View::of(store))
    }

    /// Value and threshold at a date.
    pub fn shown(
        &self,
        date: NaiveDate,
        store: &SeriesStore,
    ) -> (Option<Decimal>, Option<Decimal>) {
        shown(&self.graph, self.pattern.when, date, View::of(store))
    }

    fn signals(&self, date: NaiveDate, store: &SeriesStore) -> Signals {
        let view = View::of(store);
        let truth = |node| self.graph.evaluate(node, date, view).truth();
        Signals {
            when: truth(self.pattern.when),
            clear: self.pattern.clear_when.map(truth),
            when_counts: self.graph.all_have(self.when_counted, date, store),
            clear_counts: self.graph.all_have(self.clear_counted, date, store),
        }
    }

    fn step(&self, before: Option<State>, date: NaiveDate, signals: Signals) -> Step {
        let before = before.unwrap_or(State::initial(date));
        let (state, turn) = self.pattern.rule.step(before, date, signals);
        Step {
            date,
            signals,
            state,
            turn,
        }
    }

    fn state_before(&self, index: usize) -> Option<State> {
        Some(self.steps[index.checked_sub(1)?].state)
    }

    /// Takes over what a point changed in the store. What follows from it is looked at by
    /// [`Self::finish_step`], once for all points of the step.
    pub fn update(&mut self, store: &SeriesStore, series: SeriesIndex, change: Change) {
        self.graph.begin_allowance();
        self.graph.update(store, series, change);
        let range = match self.graph.is_time(series) {
            // No value is another one by it.
            true => Some(DateRange::of_day(change.date)),
            false => self.range_to_evaluate(change.date),
        };
        let ranges = [self.altered, range];
        self.altered = ranges.into_iter().flatten().reduce(DateRange::hull);
    }

    /// What its conditions are evaluated with.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes over all changes of a step together, the earliest of them at `first`; as
    /// [`Self::update`] with each.
    pub(crate) fn refill(&mut self, store: &SeriesStore, first: NaiveDate) {
        self.altered = Some(self.graph.refill(store, first));
    }

    /// Folds again what the points of a step altered, and emits what changes by them. Gives the
    /// dates for which [`Self::is_active_at`] may answer otherwise, if there are any.
    pub fn finish_step(
        &mut self,
        store: &SeriesStore,
        changes: &StepChanges,
        cause: &Cause,
        out: &mut Vec<Emission>,
    ) -> Option<DateRange> {
        let range = self.altered.take()?;
        self.graph.begin_allowance();
        let news_from = changes.news_from(self.graph.series().iter().copied());
        let mut differences = Vec::new();
        let mut activity = Activity::default();
        self.insert_dates(store, changes.dates(), &mut activity);
        self.remove_dates(store, changes.dates(), &mut differences, &mut activity);
        self.fold(store, range, &mut differences, &mut activity);
        differences.sort_unstable_by_key(|difference: &Difference| difference.date);
        for difference in differences {
            self.emit(&difference, news_from, store, cause, out);
        }
        self.settled = self.steps.last().map(|step| step.state);
        activity.range(&self.steps)
    }

    fn range_to_evaluate(&self, date: NaiveDate) -> Option<DateRange> {
        let when = self.graph.altered(self.pattern.when);
        let clear = self.pattern.clear_when.and_then(|c| self.graph.altered(c));
        let day = DateRange::of_day(date);
        [when, clear]
            .into_iter()
            .flatten()
            .reduce(DateRange::hull)
            .map(|range| range.hull(day))
    }

    fn place_of(&self, date: NaiveDate) -> Result<usize, usize> {
        match self.steps.last() {
            Some(last) if last.date < date => Err(self.steps.len()),
            _ => self.steps.binary_search_by_key(&date, |step| step.date),
        }
    }

    /// Makes dates evaluated ones if an input has an observation for them. Until they are folded they
    /// are as the date before.
    fn insert_dates(&mut self, store: &SeriesStore, dates: &[NaiveDate], activity: &mut Activity) {
        for date in dates {
            let Err(index) = self.place_of(*date) else {
                continue;
            };
            if !self.graph.has_date(*date, store) {
                continue;
            }
            let before = self.state_before(index);
            let step = Step {
                date: *date,
                signals: Signals::NONE,
                state: before.unwrap_or(State::initial(*date)),
                turn: None,
            };
            self.steps.insert(index, step);
            if before.is_none() {
                activity.see(*date, None, Some(false));
            }
        }
    }

    /// Takes dates away for which no input has an observation any more.
    fn remove_dates(
        &mut self,
        store: &SeriesStore,
        dates: &[NaiveDate],
        differences: &mut Vec<Difference>,
        activity: &mut Activity,
    ) {
        for date in dates {
            let Ok(index) = self.place_of(*date) else {
                continue;
            };
            if self.graph.has_date(*date, store) {
                continue;
            }
            let removed = self.steps.remove(index);
            let before = self.state_before(index).map(|s| s.phase.is_active());
            activity.see(*date, Some(removed.state.phase.is_active()), before);
            if removed.turn.is_some() {
                differences.push(Difference {
                    date: *date,
                    before: removed.turn,
                    after: None,
                });
            }
        }
    }

    /// Folds again from the first date of the range until nothing is otherwise any more.
    fn fold(
        &mut self,
        store: &SeriesStore,
        range: DateRange,
        differences: &mut Vec<Difference>,
        activity: &mut Activity,
    ) {
        let first = self.steps.partition_point(|step| step.date < range.first);
        let mut before = self.state_before(first);
        for index in first..self.steps.len() {
            if self.graph.is_spent() {
                break;
            }
            self.graph.spend(1);
            let old = self.steps[index];
            let signals = if range.holds(old.date) {
                self.signals(old.date, store)
            } else {
                old.signals
            };
            let step = self.step(before, old.date, signals);
            self.steps[index] = step;
            before = Some(step.state);
            activity.see(
                step.date,
                Some(old.state.phase.is_active()),
                Some(step.state.phase.is_active()),
            );
            if old.turn != step.turn {
                differences.push(Difference {
                    date: step.date,
                    before: old.turn,
                    after: step.turn,
                });
            }
            if step.date > range.last && step.state == old.state {
                break;
            }
        }
    }
}
