use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::activity::Activity;
use super::condition::Condition;
use super::outcome::{Outcome, shown};
use super::state::{Signals, Spell, State, Turn};
use crate::expression::{DateRange, Graph, View};
use crate::series::{Change, SeriesIndex, SeriesStore, StepChanges};
use crate::work::Work;

/// One evaluated date of a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// A date at which an input has an observation, or a day that has passed.
    pub date: NaiveDate,
    signals: Signals,
    /// What the condition was from this date on.
    pub state: State,
    /// What happened at it.
    pub turn: Option<Turn>,
}

/// A running condition: its evaluated dates, and what it was at each of them.
///
/// Points are taken in step by step: [`Self::update`] with each change of the store, then [`Self::finish_step`].
#[derive(Clone, Debug)]
pub struct ConditionRun {
    condition: Condition,
    graph: Graph,
    steps: Vec<Step>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// An evaluated date, or one that was.
    pub date: NaiveDate,
    /// What happened at it, as known before the step.
    pub before: Option<Turn>,
    /// What happened at it, as known now.
    pub after: Option<Turn>,
    /// A new observation of this date or an earlier one is among the points of the step. False: values that were
    /// known were replaced or withdrawn, which is a revision.
    pub is_news: bool,
}

/// What a step brought about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// By date.
    pub differences: Vec<Difference>,
    /// The dates for which [`ConditionRun::is_active_at`] may answer otherwise than before, if there are any.
    pub activity: Option<DateRange>,
}

impl ConditionRun {
    /// Folds everything that the store has; the store keeps the condition's series from now on.
    pub fn new(condition: Condition, store: &mut SeriesStore) -> Self {
        let graph = Graph::new(condition.program.clone(), store);
        let clear = condition.clear_when.unwrap_or(condition.when);
        let mut run = Self {
            when_counted: graph.counted_inputs(condition.when),
            clear_counted: graph.counted_inputs(clear),
            condition,
            graph,
            steps: Vec::new(),
            altered: None,
            settled: None,
        };
        let mut before = None;
        for date in run.graph.dates(store) {
            let step = run.step(before, date, run.signals(date, store));
            before = Some(step.state);
            run.steps.push(step);
        }
        run.settled = before;
        run
    }

    /// What it was after the last step that was evaluated completely; `None` before the first date.
    pub fn settled(&self) -> Option<&State> {
        self.settled.as_ref()
    }

    /// Why it cannot be evaluated any further, where that is so.
    pub fn too_costly(&self) -> Option<String> {
        self.graph.too_costly()
    }

    /// Bounds what is evaluated from now on.
    pub fn limit(&mut self, work: Work) {
        self.graph.limit(work);
    }

    /// What is evaluated.
    pub fn condition(&self) -> &Condition {
        &self.condition
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

    /// Whether it is active at a date; `None` before its first evaluation.
    pub fn is_active_at(&self, date: NaiveDate) -> Option<bool> {
        Some(self.step_at(date)?.state.phase.is_active())
    }

    /// What it was at a date, and since which evaluated date: "no_data" while there is none, else
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

    /// The condition at a date.
    pub fn outcome(&self, date: NaiveDate, store: &SeriesStore) -> Outcome {
        Outcome::of(&self.graph, self.condition.when, date, View::of(store))
    }

    /// The condition at a date at which this happened: with value and threshold of the clear condition where that
    /// one decided and compares something.
    pub fn outcome_of(&self, turn: Turn, date: NaiveDate, store: &SeriesStore) -> Outcome {
        let mut outcome = self.outcome(date, store);
        if let (Turn::Cleared, Some(clear)) = (turn, self.condition.clear_when) {
            let (value, threshold) = shown(&self.graph, clear, date, View::of(store));
            outcome.value = value.or(outcome.value);
            outcome.threshold = threshold.or(outcome.threshold);
        }
        outcome
    }

    /// Value and threshold at a date.
    pub fn shown(
        &self,
        date: NaiveDate,
        store: &SeriesStore,
    ) -> (Option<Decimal>, Option<Decimal>) {
        shown(&self.graph, self.condition.when, date, View::of(store))
    }

    fn signals(&self, date: NaiveDate, store: &SeriesStore) -> Signals {
        let view = View::of(store);
        let truth = |node| self.graph.evaluate(node, date, view).truth();
        Signals {
            when: truth(self.condition.when),
            clear: self.condition.clear_when.map(truth),
            when_counts: self.graph.all_have(self.when_counted, date, store),
            clear_counts: self.graph.all_have(self.clear_counted, date, store),
        }
    }

    fn step(&self, before: Option<State>, date: NaiveDate, signals: Signals) -> Step {
        let before = before.unwrap_or(State::initial(date));
        let (state, turn) = self.condition.rule.step(before, date, signals);
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
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// It reads the same series of another store from now on.
    pub fn move_to(&mut self, place: impl FnMut(SeriesIndex) -> SeriesIndex) {
        self.graph.move_to(place);
    }

    /// Takes over all changes of a step together, the earliest of them at `first`; as
    /// [`Self::update`] with each.
    pub fn refill(&mut self, store: &SeriesStore, first: NaiveDate) {
        self.altered = Some(self.graph.refill(store, first));
    }

    /// Folds again what the points of a step altered, and gives what is otherwise by them. `None` if nothing that it
    /// reads was changed.
    pub fn finish_step(&mut self, store: &SeriesStore, changes: &StepChanges) -> Option<Finished> {
        let range = self.altered.take()?;
        self.graph.begin_allowance();
        let news_from = changes.news_from(self.graph.series().iter().copied());
        let mut differences = Vec::new();
        let mut activity = Activity::default();
        self.insert_dates(store, changes.dates(), &mut activity);
        self.remove_dates(store, changes.dates(), &mut differences, &mut activity);
        self.fold(store, range, &mut differences, &mut activity);
        differences.sort_unstable_by_key(|difference| difference.date);
        for difference in &mut differences {
            difference.is_news = news_from.is_some_and(|first| difference.date >= first);
        }
        self.settled = self.steps.last().map(|step| step.state);
        Some(Finished {
            differences,
            activity: activity.range(&self.steps),
        })
    }

    fn range_to_evaluate(&self, date: NaiveDate) -> Option<DateRange> {
        let when = self.graph.altered(self.condition.when);
        let clear = self
            .condition
            .clear_when
            .and_then(|c| self.graph.altered(c));
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
                    is_news: false,
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
                    is_news: false,
                });
            }
            if step.date > range.last && step.state == old.state {
                break;
            }
        }
    }
}
