//! What a changed observation alters: which dates of which nodes, and the entries to compute again.

use chrono::NaiveDate;

use super::Graph;
use super::column::Column;
use crate::calendar::{Span, Window};
use crate::expression::node::{Node, NodeIndex, Op};
use crate::series::{Change, Edit, Observations, SeriesIndex, SeriesStore, last_at};

/// So many values are moved aside for another one in the time of a step.
const MOVED_IN_A_STEP: usize = 128;

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

impl Graph {
    /// Takes over what a point changed in the store. Afterwards [`Self::altered`] returns where nodes
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
