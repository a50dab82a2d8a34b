//! What a node is at a date.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::{Graph, View};
use crate::expression::node::{Arithmetic, Node, NodeIndex, Op};
use crate::expression::value::{Missing, Reason, Value, as_divisor, order};
use crate::series::{Observation, SeriesIndex, SeriesStore, last_at};

impl Graph {
    /// It is over the same series of another store from now on.
    pub fn move_to(&mut self, mut place: impl FnMut(SeriesIndex) -> SeriesIndex) {
        for series in &mut self.series {
            *series = place(*series);
        }
    }

    /// What a node is at a date, as it is shown: quotients have 15 decimals.
    pub fn evaluate(&self, index: NodeIndex, date: NaiveDate, view: View<'_>) -> Value {
        let value = self.value(index, date, view);
        match self.program.node(index).rounded {
            true => value.shown(),
            false => value,
        }
    }

    /// What a node is at a date, with all digits.
    fn value(&self, index: NodeIndex, date: NaiveDate, view: View<'_>) -> Value {
        self.work.spend(1);
        let node = self.program.node(index);
        if !node.op.is_windowed() {
            return self.evaluate_op(node, date, view);
        }
        let Some(column) = &self.columns[index.position()] else {
            return Value::missing(Reason::NoObservation);
        };
        if let Some(stale) = self.why_stale(node, date, view.store) {
            return Value::Missing(stale);
        }
        match last_at(&column.dates, date) {
            Some(entry) => column.values[entry],
            None => Value::missing(Reason::NoObservation),
        }
    }

    /// A window has no data where any series in it has none.
    fn why_stale(&self, node: &Node, date: NaiveDate, store: &SeriesStore) -> Option<Missing> {
        let mut inputs = (0..self.series.len()).filter(|input| node.inputs & (1 << input) != 0);
        inputs.find_map(|input| self.observe(input, date, store).err())
    }

    /// The same of an entry of a column, for the windows that run over it.
    pub(super) fn unless_stale(
        &self,
        node: &Node,
        date: NaiveDate,
        store: &SeriesStore,
        value: Value,
    ) -> Value {
        // Each date is one at which the only input has an observation.
        if node.inputs.count_ones() == 1 {
            return value;
        }
        match self.why_stale(node, date, store) {
            Some(stale) => Value::Missing(stale),
            None => value,
        }
    }

    /// The observation of an input that counts at a date.
    pub fn observe(
        &self,
        input: usize,
        date: NaiveDate,
        store: &SeriesStore,
    ) -> Result<Observation, Missing> {
        let series = store.get(self.series[input]);
        let missing = |reason| Missing {
            reason,
            input: Some(input as u8),
        };
        let Some(index) = series.index_at(date) else {
            return Err(missing(Reason::NoObservation));
        };
        if !self.program.inputs[input].counts_at(series.dates()[index], date) {
            return Err(missing(Reason::Stale));
        }
        Ok(series.observation(index))
    }

    pub(super) fn evaluate_op(&self, node: &Node, date: NaiveDate, view: View<'_>) -> Value {
        let number = |index: NodeIndex| match self.value(index, date, view) {
            Value::Number(number) => Ok(number),
            other => Err(other),
        };
        let applied = match &node.op {
            Op::Number(number) => Ok(Value::Number(*number)),
            Op::Truth(truth) => Ok(Value::Truth(*truth)),
            Op::Input(input) => match self.observe(usize::from(*input), date, view.store) {
                Ok(observation) => Ok(Value::Number(observation.value)),
                Err(missing) => Err(Value::Missing(missing)),
            },
            Op::Pattern(id) => match (view.active)(id, date) {
                Some(active) => Ok(Value::Truth(active)),
                None => Err(Value::missing(Reason::PatternUnknown)),
            },
            Op::Negate(inner) => number(*inner).map(|n| Value::Number(-n)),
            Op::Abs(inner) => number(*inner).map(|n| Value::Number(n.abs())),
            Op::Binary(arithmetic, left, right) => {
                let right_number = |r| match arithmetic {
                    Arithmetic::Divide => as_divisor(r, self.program.node(*right).rounded),
                    _ => r,
                };
                both(number(*left), number(*right))
                    .map(|(l, r)| arithmetic.apply(l, right_number(r)))
            }
            Op::Compare(comparison, left, right) => both(number(*left), number(*right))
                .map(|(l, r)| Value::Truth(comparison.holds(order(l, r, node.rounded)))),
            Op::And(left, right) => Ok(self.decide(*left, *right, date, view, false)),
            Op::Or(left, right) => Ok(self.decide(*left, *right, date, view, true)),
            Op::Not(inner) => Ok(match self.value(*inner, date, view) {
                Value::Truth(truth) => Value::Truth(!truth),
                other => other,
            }),
            Op::DaysSince(_) => Ok(self.days_since(node, date, view.store)),
            Op::Rolling { .. } | Op::Past { .. } => Ok(Value::missing(Reason::NoObservation)),
        };
        applied.unwrap_or_else(|missing| missing)
    }

    /// "and", "or" with no data: one side may decide alone. `deciding`: which truth does.
    fn decide(
        &self,
        left: NodeIndex,
        right: NodeIndex,
        date: NaiveDate,
        view: View<'_>,
        deciding: bool,
    ) -> Value {
        let decided = Value::Truth(deciding);
        let left = self.value(left, date, view);
        if left == decided {
            return decided;
        }
        let right = self.value(right, date, view);
        match (left, right) {
            (_, right) if right == decided => decided,
            (Value::Missing(_), _) => left,
            _ => right,
        }
    }

    fn days_since(&self, node: &Node, date: NaiveDate, store: &SeriesStore) -> Value {
        let latest = self
            .some(node.inputs)
            .filter_map(|index| Some(store.get(index).at(date)?.date))
            .max();
        match latest {
            Some(latest) => Value::Number(Decimal::from((date - latest).num_days())),
            None => Value::missing(Reason::NoObservation),
        }
    }
}

fn both<T, E>(left: Result<T, E>, right: Result<T, E>) -> Result<(T, T), E> {
    Ok((left?, right?))
}
