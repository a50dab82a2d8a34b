mod altered;
mod column;
mod counted;
mod entries;
mod evaluate;
mod past;
mod rolling;
mod sum;

use std::sync::Arc;

use chrono::NaiveDate;

use self::column::Column;
use crate::expression::cost::cost;
use crate::expression::input::Input;
use crate::expression::node::{Node, Program};
use crate::expression::value::{Reason, Value};
use crate::series::{SeriesIndex, SeriesStore};
use crate::work::{Allowance, Work};

pub use altered::DateRange;

/// One changed observation may take so many times the steps that the declared frequencies of the series
/// allow for, and these at the least.
const ALLOWED_TIMES: u64 = 4;
const ALLOWED_STEPS_MIN: u64 = 1_000_000;

/// What expressions are evaluated over.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The series.
    pub store: &'a SeriesStore,
    /// Whether a pattern is active at a date; `None` if it was not evaluated by then.
    pub active: &'a dyn Fn(&str, NaiveDate) -> Option<bool>,
}

impl<'a> View<'a> {
    /// For expressions that ask for no patterns.
    pub fn of(store: &'a SeriesStore) -> Self {
        Self {
            store,
            active: &|_, _| None,
        }
    }
}

/// A program running on a store: evaluates its nodes at any date, and keeps columns of the values that
/// windows run over.
#[derive(Clone, Debug)]
pub struct Graph {
    pub(super) program: Arc<Program>,
    /// Where the store has each input; behind them the series of time, which no node reads, if every day is evaluated.
    pub(super) series: Vec<SeriesIndex>,
    pub(super) columns: Vec<Option<Column>>,
    /// For each node, where the latest change may have altered it.
    altered: Vec<Option<DateRange>>,
    pub(super) work: Work,
    allowance: Allowance,
    /// The work that one changed observation can be at the most, in steps.
    change_steps: u64,
}

impl Graph {
    /// Over what the store has now; the store keeps the program's series from now on.
    pub fn new(program: Arc<Program>, store: &mut SeriesStore) -> Self {
        let series = program.series_ids().map(|id| store.keep(id)).collect();
        let column = |node: &Node| node.kept.then(Column::default);
        let columns = program.nodes.iter().map(column).collect();
        let altered = vec![None; program.nodes.len()];
        let change_steps = cost(&program).steps;
        let allowed = change_steps.saturating_mul(ALLOWED_TIMES);
        let mut graph = Self {
            program,
            series,
            columns,
            altered,
            work: Work::default(),
            allowance: Allowance::new(allowed.max(ALLOWED_STEPS_MIN)),
            change_steps,
        };
        graph.fill(store);
        graph
    }

    /// Bounds what is evaluated from now on.
    pub fn limit(&mut self, work: Work) {
        self.work = work;
    }

    /// Counts work that is done, also beside it.
    pub fn spend(&self, steps: usize) {
        self.work.spend(steps);
        self.allowance.spend(steps);
    }

    /// The bound on what is evaluated, without the allowance of a changed observation.
    pub fn work(&self) -> &Work {
        &self.work
    }

    /// Whether a bound is reached.
    pub fn is_spent(&self) -> bool {
        self.work.is_spent() || self.allowance.is_spent()
    }

    /// From here on the work for another changed observation is counted.
    pub fn begin_allowance(&self) {
        self.allowance.begin();
    }

    /// Why it cannot be evaluated any further: one observation took more work than is allowed.
    pub fn too_costly(&self) -> Option<String> {
        self.allowance.is_spent().then(|| {
            let steps = self.allowance.steps_max();
            format!(
                "one observation takes more than {steps} steps of work: its series have more \
                 observations than their frequency says; correct it, or use shorter windows"
            )
        })
    }

    /// The compiled expressions.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The series of each input, in the order of the inputs; behind them that of time if every day is evaluated.
    pub fn series(&self) -> &[SeriesIndex] {
        &self.series
    }

    fn fill(&mut self, store: &SeriesStore) {
        let program = self.program.clone();
        for (position, node) in program.nodes.iter().enumerate() {
            if let Some(mut column) = self.columns[position].take() {
                column.dates = self.dates_of(node.inputs, store);
                column.values = vec![Value::missing(Reason::NoObservation); column.dates.len()];
                let all = 0..column.dates.len();
                self.compute(node, &mut column, all, store);
                column.find_begin(0);
                self.columns[position] = Some(column);
            }
        }
    }

    /// Whether a series is that of time, and its dates are evaluated.
    pub fn is_time(&self, series: SeriesIndex) -> bool {
        self.program.daily && self.series.last() == Some(&series)
    }

    /// How much work so many changes can be at the most, in steps, if they are taken over one by one.
    pub fn steps_of(&self, changes: usize) -> u64 {
        let changes = u64::try_from(changes).unwrap_or(u64::MAX);
        self.change_steps.saturating_mul(changes)
    }

    /// Computes everything anew from the store, in place of [`Self::update`] with each of many changes,
    /// the earliest of them at `first`: that takes what all dates take once, however many have changed. No
    /// allowance bounds it, as none bounds [`Self::new`]. Gives where any node may be altered.
    pub fn refill(&mut self, store: &SeriesStore, first: NaiveDate) -> DateRange {
        let altered = DateRange::since(first);
        if self.is_spent() {
            return altered;
        }
        let held = |columns: &[Option<Column>]| -> usize {
            columns
                .iter()
                .flatten()
                .map(|column| column.dates.len())
                .sum()
        };
        let before = held(&self.columns);
        for column in self.columns.iter_mut().flatten() {
            *column = Column::default();
        }
        self.allowance = Allowance::new(self.allowance.steps_max());
        self.fill(store);
        self.work.hold(held(&self.columns).saturating_sub(before));
        altered
    }

    /// All dates of all inputs, ascending, each once; with the days that have passed if these are evaluated.
    pub fn dates(&self, store: &SeriesStore) -> Vec<NaiveDate> {
        self.dates_of(u64::MAX, store)
    }

    /// Whether any input has an observation for exactly this date, or it is a day that has passed and is evaluated.
    pub fn has_date(&self, date: NaiveDate, store: &SeriesStore) -> bool {
        self.has_date_of(u64::MAX, date, store)
    }

    fn dates_of(&self, inputs: u64, store: &SeriesStore) -> Vec<NaiveDate> {
        let series = self.some(inputs).map(|index| store.get(index));
        let mut dates: Vec<_> = series.flat_map(|s| s.dates().iter().copied()).collect();
        dates.sort_unstable();
        dates.dedup();
        dates
    }

    fn has_date_of(&self, inputs: u64, date: NaiveDate, store: &SeriesStore) -> bool {
        self.some(inputs).any(|index| store.get(index).has(date))
    }

    /// The series of those inputs whose bit is set.
    pub(super) fn some(&self, inputs: u64) -> impl Iterator<Item = SeriesIndex> {
        let all = self.series.iter().copied().enumerate();
        all.filter(move |(input, _)| inputs & (1 << input) != 0)
            .map(|(_, index)| index)
    }

    /// An input by its index.
    pub fn input(&self, index: usize) -> &Input {
        &self.program.inputs[index]
    }
}
