//! Rules over series in memory: found by the series that they read, and evaluated as observations come in.
//!
//! What a rule is follows from what is in force of its series and from nothing else, so that a book that is made anew
//! from what is stored is the same. No clock and no database here.

mod dry_run;
mod history;
mod level;
mod run;
#[cfg(test)]
mod tests;
mod turn;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use chrono::NaiveDate;
use evaluation::{
    machine::{ConditionError, ConditionRun},
    series::{Future, Observations, SeriesIndex, SeriesStore, StepChanges},
};

use super::condition::{Expression, Watched};
use level::{Levels, Newest};

pub(crate) use dry_run::{DryRun, DryRunError, dry_run};
pub(crate) use history::History;
pub(crate) use level::Level;
pub(crate) use turn::{Turn, TurnKind};

/// So many observations are kept of a series that only comparisons read, and twice as many before older ones go.
pub(crate) const TAIL: usize = 16;
/// From so much work for the changes of one event on, an expression is evaluated anew rather than change by change.
const REFILL_STEPS: u64 = 2_000_000;

/// Rules over series, and the observations that they read.
#[derive(Debug, Default)]
pub(crate) struct Book {
    store: SeriesStore,
    /// By their place in the store.
    read: Vec<Read>,
    rules: HashMap<Arc<str>, Watching>,
    runs: Vec<Option<Run>>,
    by_key: HashMap<String, usize>,
    history: History,
}

/// A series, and who reads it.
#[derive(Debug, Default)]
struct Read {
    levels: Levels,
    runs: BTreeSet<usize>,
    /// All that expressions look at is in the store, and not the last observations only.
    is_whole: bool,
    /// Observations are here at all.
    is_loaded: bool,
    reached: Option<NaiveDate>,
    /// Dated later than what is looked at.
    future: BTreeMap<NaiveDate, Future>,
}

/// What is evaluated for a rule.
#[derive(Debug)]
enum Watching {
    Level(SeriesIndex, Level),
    Run(usize),
}

/// An expression that rules share.
#[derive(Debug)]
struct Run {
    run: ConditionRun,
    key: String,
    rules: BTreeSet<Arc<str>>,
}

/// What is known of a series from some place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Points {
    /// Of each date one vintage.
    pub(crate) points: Vec<(NaiveDate, Future)>,
    /// Up to which date they are looked at.
    pub(crate) reached: Option<NaiveDate>,
}

impl Book {
    /// Without rules, whose expressions look back so far.
    pub(crate) fn new(history: History) -> Self {
        Self {
            history,
            ..Self::default()
        }
    }

    /// Whether a rule reads a series.
    pub(crate) fn reads(&self, series: &str) -> bool {
        self.place(series).is_some_and(|read| {
            let read = &self.read[read.0];
            !read.levels.is_empty() || !read.runs.is_empty()
        })
    }

    fn place(&self, series: &str) -> Option<SeriesIndex> {
        self.store.find(series)
    }

    fn keep(&mut self, series: &str) -> SeriesIndex {
        let place = self.store.keep(series);
        if self.read.len() <= place.0 {
            self.read.resize_with(place.0 + 1, Read::default);
        }
        place
    }

    /// Which of the series of a rule have to be given to [`Self::load`] before [`Self::put`]: whole ones, and ends.
    pub(crate) fn lacks(&self, watched: &Watched) -> (Vec<String>, Vec<String>) {
        let lacking = |is_whole: bool| {
            let series = watched.series().into_iter();
            let series = series.filter(move |id| match self.place(id) {
                None => true,
                Some(place) if is_whole => !self.read[place.0].is_whole,
                Some(place) => !self.read[place.0].is_loaded,
            });
            series.map(str::to_owned).collect()
        };
        match watched {
            Watched::Expression(_) => (lacking(true), Vec::new()),
            Watched::Level { .. } => (Vec::new(), lacking(false)),
            Watched::Times(_) | Watched::Silence { .. } => (Vec::new(), Vec::new()),
        }
    }

    /// Whether a withdrawal may leave nothing of what is kept of a series, although more is stored.
    pub(crate) fn is_cut(&self, series: &str) -> bool {
        self.place(series)
            .is_some_and(|place| !self.read[place.0].is_whole)
    }

    /// Takes what is stored of a series, before anything that reads it whole is put.
    pub(crate) fn load(&mut self, series: &str, mut points: Points, is_whole: bool) {
        let place = self.keep(series);
        if is_whole {
            self.history.bound(&mut points);
        }
        let (mut observations, mut future) = (Observations::default(), BTreeMap::new());
        for (date, vintage) in points.points {
            if points.reached.is_some_and(|reached| date > reached) {
                future.insert(date, vintage);
            } else {
                observations.apply(date, vintage.known_from, vintage.value);
            }
        }
        self.store.set(place, Arc::new(observations));
        let read = &mut self.read[place.0];
        (read.is_loaded, read.is_whole) = (true, is_whole);
        (read.reached, read.future) = (points.reached, future);
    }

    /// Begins to evaluate a rule, in place of what it was. Its series are loaded.
    ///
    /// # Errors
    /// The condition does not compile any more.
    pub(crate) fn put(&mut self, rule: &str, watched: &Watched) -> Result<(), ConditionError> {
        let before = self.take_out(rule);
        let put = self.put_in(rule.into(), watched);
        // Not before: what was just loaded may be what only this rule has read.
        for place in before {
            self.let_go(place);
        }
        put
    }

    fn put_in(&mut self, rule: Arc<str>, watched: &Watched) -> Result<(), ConditionError> {
        let watching = match watched {
            Watched::Level { series, level } => {
                let place = self.keep(series);
                self.read[place.0].levels.add(&rule, *level);
                Watching::Level(place, *level)
            }
            Watched::Expression(expression) => {
                let run = self.run_of(expression)?;
                if let Some(run) = &mut self.runs[run] {
                    run.rules.insert(Arc::clone(&rule));
                }
                Watching::Run(run)
            }
            Watched::Times(_) | Watched::Silence { .. } => return Ok(()),
        };
        self.rules.insert(rule, watching);
        Ok(())
    }

    fn run_of(&mut self, expression: &Expression) -> Result<usize, ConditionError> {
        let key = expression.key();
        if let Some(place) = self.by_key.get(&key) {
            return Ok(*place);
        }
        let condition = expression.compile()?;
        for series in expression.series() {
            self.keep(series);
        }
        let run = ConditionRun::new(condition, &mut self.store);
        let free = self.runs.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.runs.push(None);
            self.runs.len() - 1
        });
        for series in run.series() {
            self.read[series.0].runs.insert(place);
        }
        self.by_key.insert(key.clone(), place);
        self.runs[place] = Some(Run {
            run,
            key,
            rules: BTreeSet::new(),
        });
        Ok(place)
    }

    /// Ends the evaluation of a rule, and lets go of what only it has read.
    pub(crate) fn remove(&mut self, rule: &str) {
        for place in self.take_out(rule) {
            self.let_go(place);
        }
    }

    /// Ends the evaluation of a rule. Gives the series that it has read.
    fn take_out(&mut self, rule: &str) -> Vec<SeriesIndex> {
        match self.rules.remove(rule) {
            None => Vec::new(),
            Some(Watching::Level(place, level)) => {
                self.read[place.0].levels.remove(rule, level);
                vec![place]
            }
            Some(Watching::Run(place)) => {
                let Some(run) = &mut self.runs[place] else {
                    return Vec::new();
                };
                run.rules.remove(rule);
                if !run.rules.is_empty() {
                    return Vec::new();
                }
                let series = run.run.series().to_vec();
                for series in &series {
                    self.read[series.0].runs.remove(&place);
                }
                self.by_key.remove(&run.key);
                self.runs[place] = None;
                series
            }
        }
    }

    /// What a rule is now, with its latest date: it [began](TurnKind::Began), or it ended. `None` of one about
    /// crossings, and where nothing was observed.
    pub(crate) fn now(&self, rule: &str) -> Option<Turn> {
        let (id, watching) = self.rules.get_key_value(rule)?;
        let kind = |holds| match holds {
            true => TurnKind::Began,
            false => TurnKind::Ended,
        };
        match watching {
            Watching::Level(_, level) if level.is_crossing() => None,
            Watching::Level(place, level) => {
                let last = self.newest(*place).last;
                let holds = last.is_some_and(|last| level.holds(last.value));
                Turn::of_level(id, *level, kind(holds), last, last.map(|last| last.date))
            }
            Watching::Run(place) => {
                let run = &self.runs[*place].as_ref()?.run;
                let (state, date) = (run.settled()?, run.steps().last()?.date);
                let kind = kind(state.phase.is_active());
                Some(self.turn_of_run(run, id, kind, date, false))
            }
        }
    }

    fn newest(&self, place: SeriesIndex) -> Newest {
        Newest::at(self.store.get(place), NaiveDate::MAX)
    }

    /// Takes observations of a series in, and gives what becomes of rules by them, in the order in which it happened.
    /// What is dated before `oldest` is too old to be notified of: only what comes of all that together is given.
    pub(crate) fn observe(
        &mut self,
        series: &str,
        points: &Points,
        oldest: NaiveDate,
    ) -> Vec<Turn> {
        let Some(place) = self.place(series) else {
            return Vec::new();
        };
        let before = self.newest(place);
        let changes = self.apply(place, points);
        let mut turns = Vec::new();
        if changes.dates().is_empty() {
            return turns;
        }
        self.turn_levels(place, before, oldest, &mut turns);
        let runs: Vec<usize> = self.read[place.0].runs.iter().copied().collect();
        let first = self.first_of(place);
        for run in runs {
            self.turn_run(run, &changes, (oldest, first), &mut turns);
        }
        self.cut(place);
        turns
    }

    /// Applies points to the store, and to what expressions keep of them.
    fn apply(&mut self, place: SeriesIndex, points: &Points) -> StepChanges {
        let read = &mut self.read[place.0];
        read.reached = read.reached.max(points.reached);
        let reached = read.reached.unwrap_or(NaiveDate::MAX);
        let mut changes = StepChanges::default();
        let has_forgotten = self.forget(place, &mut changes);
        let first = self.first_of(place);
        let read = &mut self.read[place.0];
        let mut due: Vec<(NaiveDate, Future)> = Vec::new();
        while let Some(first) = read.future.first_entry()
            && *first.key() <= reached
        {
            due.push(first.remove_entry());
        }
        for (date, vintage) in &points.points {
            if *date <= reached {
                due.push((*date, *vintage));
                continue;
            }
            let kept = read.future.entry(*date).or_insert(*vintage);
            if kept.known_from <= vintage.known_from {
                *kept = *vintage;
            }
        }
        due.retain(|(date, _)| *date >= first);
        let runs = self.read[place.0].runs.iter().copied();
        let (refilled, updated): (Vec<usize>, Vec<usize>) = runs.partition(|run| {
            let run = self.runs[*run].as_ref();
            let steps = run.map_or(0, |run| run.run.graph().steps_of(due.len()));
            has_forgotten || steps > REFILL_STEPS
        });
        for (date, vintage) in due {
            let observations = self.store.get_mut(place);
            let Some(change) = observations.apply(date, vintage.known_from, vintage.value) else {
                continue;
            };
            changes.add(place, change);
            for run in &updated {
                if let Some(run) = &mut self.runs[*run] {
                    run.run.update(&self.store, place, change);
                }
            }
        }
        changes.complete(&self.store);
        if let Some(first) = changes.first_date() {
            for run in refilled {
                if let Some(run) = &mut self.runs[run] {
                    run.run.refill(&self.store, first);
                }
            }
        }
        changes
    }

    fn turn_levels(
        &self,
        place: SeriesIndex,
        before: Newest,
        oldest: NaiveDate,
        turns: &mut Vec<Turn>,
    ) {
        let levels = &self.read[place.0].levels;
        if levels.is_empty() {
            return;
        }
        let observations = self.store.get(place);
        let last_date = before.last.map(|last| last.date);
        let mut at = before;
        if let Some(date) = last_date {
            // What is not looked at any more was not revised.
            at = Newest::at(observations, date).or_forgotten(before, self.first_of(place));
            levels.revised(before, at, turns);
        }
        let dates = observations.dates();
        let first_new = last_date.map_or(0, |last| dates.partition_point(|date| *date <= last));
        // Of those that are too old only the last counts.
        let first_young = dates.partition_point(|date| *date < oldest).max(first_new);
        if first_young > first_new {
            at = levels.observed(at, observations.observation(first_young - 1), true, turns);
        }
        for index in first_young..dates.len() {
            at = levels.observed(at, observations.observation(index), false, turns);
        }
    }

    /// Drops what no comparison looks at any more.
    fn cut(&mut self, place: SeriesIndex) {
        let read = &self.read[place.0];
        let observations = self.store.get(place);
        let count = observations.dates().len();
        if read.is_whole || count <= 2 * TAIL {
            return;
        }
        let last = observations.dates()[count - TAIL - 1];
        let mut kept = Observations::default();
        for (date, vintage) in self.store.get_mut(place).split_after(last) {
            kept.apply(date, vintage.known_from, vintage.value);
        }
        self.store.set(place, Arc::new(kept));
    }
}
