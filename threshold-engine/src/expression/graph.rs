use std::sync::Arc;

use chrono::NaiveDate;

use super::column::{Axis, Column};
use super::cost::cost;
use super::node::{Input, Node, NodeIndex, Op, Program};
use super::past::PastSpec;
use super::rolling::RollingSpec;
use super::value::{Reason, Value};
use crate::calendar::{Span, Window};
use crate::series::{Change, Edit, Observations, SeriesIndex, SeriesStore, last_at};
use crate::work::{Allowance, Work};

/// So many values are moved aside for another one in the time of a step.
const MOVED_IN_A_STEP: usize = 128;

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

/// Dates from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateRange {
    /// First.
    pub first: NaiveDate,
    /// Last; not before the first.
    pub last: NaiveDate,
}

impl DateRange {
    /// One day.
    pub fn of_day(day: NaiveDate) -> Self {
        Self {
            first: day,
            last: day,
        }
    }

    /// From a date on.
    pub(crate) fn since(first: NaiveDate) -> Self {
        let last = NaiveDate::MAX;
        Self { first, last }
    }

    /// The smallest range that holds both.
    pub fn hull(self, other: Self) -> Self {
        Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }

    /// Whether the date lies in it.
    pub fn holds(self, date: NaiveDate) -> bool {
        (self.first..=self.last).contains(&date)
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
    pub(crate) fn limit(&mut self, work: Work) {
        self.work = work;
    }

    /// Counts work that is done, also beside it.
    pub(crate) fn spend(&self, steps: usize) {
        self.work.spend(steps);
        self.allowance.spend(steps);
    }

    /// Whether a bound is reached.
    pub(crate) fn is_spent(&self) -> bool {
        self.work.is_spent() || self.allowance.is_spent()
    }

    /// From here on the work for another changed observation is counted.
    pub(crate) fn begin_allowance(&self) {
        self.allowance.begin();
    }

    /// Why it cannot be evaluated any further: one observation took more work than is allowed.
    pub(crate) fn too_costly(&self) -> Option<String> {
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
    pub(crate) fn is_time(&self, series: SeriesIndex) -> bool {
        self.program.daily && self.series.last() == Some(&series)
    }

    /// How much work so many changes can be at the most, in steps, if they are taken over one by one.
    pub(crate) fn steps_of(&self, changes: usize) -> u64 {
        let changes = u64::try_from(changes).unwrap_or(u64::MAX);
        self.change_steps.saturating_mul(changes)
    }

    /// Computes everything anew from the store, in place of [`Self::update`] with each of many changes:
    /// that takes what all dates take once, however many have changed. No allowance bounds it, as none
    /// bounds [`Self::new`].
    pub(crate) fn refill(&mut self, store: &SeriesStore) {
        if self.is_spent() {
            return;
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
    }

    /// All dates of all inputs, ascending, each once; with the days that have passed if these are evaluated.
    pub(crate) fn dates(&self, store: &SeriesStore) -> Vec<NaiveDate> {
        self.dates_of(u64::MAX, store)
    }

    /// Whether any input has an observation for exactly this date, or it is a day that has passed and is evaluated.
    pub(crate) fn has_date(&self, date: NaiveDate, store: &SeriesStore) -> bool {
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

    /// Takes over what a point changed in the store. Afterwards [`Self::altered`] tells where nodes
    /// may have other values than before.
    pub fn update(&mut self, store: &SeriesStore, changed: SeriesIndex, change: Change) {
        let program = self.program.clone();
        for (position, node) in program.nodes.iter().enumerate() {
            self.altered[position] = match node.op {
                Op::Input(input) if self.series[usize::from(input)] == changed => {
                    Some(altered_input(store.get(changed), change.date, node))
                }
                _ => self.altered_by_parts(node),
            };
            if self.altered[position].is_none() {
                continue;
            }
            if matches!(node.op, Op::DaysSince(_)) {
                self.extend_days_since(position, node, store, change.date);
            }
            if let Some(mut column) = self.columns[position].take() {
                self.refresh(position, node, &mut column, store, change);
                self.columns[position] = Some(column);
            }
        }
    }

    /// Where the latest change may have altered a node.
    pub fn altered(&self, node: NodeIndex) -> Option<DateRange> {
        self.altered[node.position()]
    }

    /// Where the latest change may have altered any node.
    pub fn altered_anywhere(&self) -> Option<DateRange> {
        self.altered
            .iter()
            .flatten()
            .copied()
            .reduce(DateRange::hull)
    }

    fn altered_by_parts(&self, node: &Node) -> Option<DateRange> {
        let parts = node.op.parts().into_iter().flatten();
        parts
            .filter_map(|part| self.altered[part.position()])
            .reduce(DateRange::hull)
    }

    /// Days since the latest observation do not end with its maximum age.
    fn extend_days_since(
        &mut self,
        position: usize,
        node: &Node,
        store: &SeriesStore,
        date: NaiveDate,
    ) {
        let next = self
            .some(node.inputs)
            .filter_map(|index| store.get(index).next_after(date))
            .min();
        if let Some(range) = &mut self.altered[position] {
            range.last = range.last.max(before_next(next));
        }
    }

    /// Recomputes the entries of a column that a change can have altered, and widens the range of its
    /// node by them.
    fn refresh(
        &mut self,
        position: usize,
        node: &Node,
        column: &mut Column,
        store: &SeriesStore,
        change: Change,
    ) {
        let Some(mut range) = self.altered[position] else {
            return;
        };
        let present = self.has_date_of(node.inputs, change.date, store);
        let last_before = column.dates.last().copied();
        let begin_before = column.begin_date();
        let (held, is_last) = (column.dates.len(), last_before < Some(change.date));
        column.sync(change.date, present);
        self.work.hold(column.dates.len().saturating_sub(held));
        if !is_last {
            // Later ones move.
            self.spend(held / MOVED_IN_A_STEP);
        }
        let dates = &column.dates;
        let reach = self.reach(node, dates, range, store, change);
        let from = dates.partition_point(|d| *d < range.first);
        let to = dates.partition_point(|d| *d <= reach);
        if node.op.is_windowed() {
            let last = dates.last().copied().max(last_before);
            let ends = match dates.get(to) {
                Some(next) => before_next(Some(*next)),
                None => Span::Days(node.max_age_days).after(last.unwrap_or(change.date)),
            };
            range.last = range.last.max(ends);
        }
        self.altered[position] = Some(range);
        self.compute(node, column, from..to, store);
        column.find_begin(from);
        column.note_begin(begin_before);
    }

    /// Where the series that a windowed node runs over began or begins, the later of the two, if the
    /// change moved that: what is covered by it is otherwise up to a window behind.
    fn begin_moved(&self, node: &Node, store: &SeriesStore, change: Change) -> Option<NaiveDate> {
        let [Some(below), None] = node.op.parts() else {
            return None;
        };
        let Op::Input(input) = self.program.node(below).op else {
            return self.columns[below.position()].as_ref()?.begin_moved;
        };
        let dates = store.get(self.series[usize::from(input)]).dates();
        match change.edit {
            Edit::Inserted if dates.first() == Some(&change.date) => dates.get(1).copied(),
            Edit::Removed => dates.first().copied().filter(|first| *first > change.date),
            Edit::Inserted | Edit::Replaced => None,
        }
    }

    /// The last date whose entry in the node's column a change can have altered.
    fn reach(
        &self,
        node: &Node,
        dates: &[NaiveDate],
        range: DateRange,
        store: &SeriesStore,
        change: Change,
    ) -> NaiveDate {
        // Only entries are seen by windows, and the last one in the range is the last that counts.
        let mut last = match last_at(dates, range.last) {
            Some(index) => dates[index].max(range.first),
            None => range.first,
        };
        if let Some(begin) = self.begin_moved(node, store, change) {
            last = last.max(begin);
        }
        let (window, slack_days) = match node.op {
            Op::Rolling { window, .. } => (window, 31),
            Op::Past { ago, .. } => (ago, self.past_spec(node).map_or(0, |s| s.reach_days())),
            _ => return range.last,
        };
        match window {
            Window::Count(count) => {
                let index = last_at(dates, last).map_or(0, |index| index + 1);
                let index = (index + count as usize).min(dates.len().saturating_sub(1));
                dates.get(index).copied().unwrap_or(last).max(last)
            }
            Window::Span(_) if dates.last().is_none_or(|d| *d <= last) => last,
            Window::Span(span) => Span::Days(slack_days).after(span.after(last)),
        }
    }

    fn compute(
        &self,
        node: &Node,
        column: &mut Column,
        entries: std::ops::Range<usize>,
        store: &SeriesStore,
    ) {
        let Some(first) = entries.clone().next() else {
            return;
        };
        let Column {
            dates,
            values,
            rolling,
            ..
        } = column;
        if let (Some(spec), Some(axis)) = (self.rolling_spec(node), self.axis_below(node, store)) {
            // A window goes on only to a date that is new at the end.
            let appended = entries.len() == 1 && first + 1 == dates.len();
            if !appended {
                rolling.forget();
            }
            for index in entries {
                let value = rolling.step(axis, &spec, index);
                values[index] = self.unless_stale(node, dates[index], store, value);
                self.spend(rolling.cost(&spec));
                if self.is_spent() {
                    return;
                }
            }
        } else if let (Some(spec), Some(axis)) =
            (self.past_spec(node), self.axis_below(node, store))
        {
            self.spend(entries.len());
            for index in entries {
                let value = spec.value(axis, index);
                values[index] = self.unless_stale(node, dates[index], store, value);
            }
        } else {
            let view = View::of(store);
            for index in entries {
                values[index] = self.evaluate_op(node, dates[index], view);
                self.spend(1);
                if self.is_spent() {
                    return;
                }
            }
        }
    }

    /// What a windowed node runs over.
    fn axis_below<'a>(&'a self, node: &Node, store: &'a SeriesStore) -> Option<Axis<'a>> {
        let [Some(below), None] = node.op.parts() else {
            return None;
        };
        match self.program.node(below).op {
            Op::Input(input) => {
                let series = store.get(self.series[usize::from(input)]);
                Some(Axis::of_series(series))
            }
            _ => Some(Axis::of_column(self.columns[below.position()].as_ref()?)),
        }
    }

    fn rolling_spec(&self, node: &Node) -> Option<RollingSpec> {
        match node.op {
            Op::Rolling {
                over,
                window,
                excluding_current,
                statistic,
            } => Some(RollingSpec {
                window,
                excluding_current,
                statistic,
                frequency: node.frequency,
                rounded: self.program.node(over).rounded,
            }),
            _ => None,
        }
    }

    fn past_spec(&self, node: &Node) -> Option<PastSpec> {
        match node.op {
            Op::Past {
                over,
                ago,
                relation,
            } => Some(PastSpec {
                ago,
                relation,
                frequency: node.frequency,
                max_age_days: node.max_age_days,
                rounded: self.program.node(over).rounded,
            }),
            _ => None,
        }
    }

    /// An input by its index.
    pub fn input(&self, index: usize) -> &Input {
        &self.program.inputs[index]
    }
}

fn before_next(next: Option<NaiveDate>) -> NaiveDate {
    next.and_then(|next| next.pred_opt())
        .unwrap_or(NaiveDate::MAX)
}

/// Where a changed observation may alter an input: to the end of its life, or to the next one. Where it
/// is or was the first, also what is too old to count is another thing than nothing at all.
fn altered_input(series: &Observations, first: NaiveDate, node: &Node) -> DateRange {
    let next = before_next(series.next_after(first));
    let is_first = series.dates().first().is_none_or(|d| *d >= first);
    let last = if is_first {
        next
    } else {
        next.min(Span::Days(node.max_age_days).after(first))
    };
    DateRange { first, last }
}
