//! Evaluation from scratch, with nothing kept: what the incremental one is compared with.

use std::collections::BTreeSet;

use chrono::{Datelike, Days, Months, NaiveDate};
use rust_decimal::Decimal;

use super::node::{Node, NodeIndex, Op, Program, Relation, Statistic};
use super::value::{Missing, Reason, Value, divide, from_float, percent_change, to_float};
use crate::calendar::{Frequency, Span, Window};
use crate::series::SeriesStore;

pub(super) struct Naive<'a> {
    pub(super) program: &'a Program,
    pub(super) store: &'a SeriesStore,
}

impl Naive<'_> {
    fn inputs(&self, node: &Node) -> Vec<usize> {
        let inputs = 0..self.program.inputs.len();
        inputs.filter(|i| node.inputs >> i & 1 == 1).collect()
    }

    fn dates(&self, node: &Node) -> Vec<NaiveDate> {
        let mut dates = BTreeSet::new();
        for input in self.inputs(node) {
            let series = self.store.find(&self.program.inputs[input].series).unwrap();
            dates.extend(self.store.get(series).iter().map(|o| o.date));
        }
        dates.into_iter().collect()
    }

    fn observed(&self, input: usize, date: NaiveDate) -> Value {
        let declared = &self.program.inputs[input];
        let series = self.store.get(self.store.find(&declared.series).unwrap());
        let missing = |reason| {
            Value::Missing(Missing {
                reason,
                input: Some(input as u8),
            })
        };
        match series.iter().filter(|o| o.date <= date).last() {
            None => missing(Reason::NoObservation),
            Some(o) if (date - o.date).num_days() > i64::from(declared.max_age_days) => {
                missing(Reason::Stale)
            }
            Some(o) => Value::Number(o.value),
        }
    }

    pub(super) fn value(&self, index: NodeIndex, date: NaiveDate) -> Value {
        let node = self.program.node(index);
        let value = |part: &NodeIndex| self.value(*part, date);
        let number = |part: &NodeIndex, f: &dyn Fn(Decimal) -> Value| match value(part) {
            Value::Number(n) => f(n),
            other => other,
        };
        match &node.op {
            Op::Number(n) => Value::Number(*n),
            Op::Truth(t) => Value::Truth(*t),
            Op::Input(input) => self.observed(usize::from(*input), date),
            Op::Pattern(_) => unreachable!("patterns only"),
            Op::Negate(a) => number(a, &|n| Value::Number(-n)),
            Op::Abs(a) => number(a, &|n| Value::Number(n.abs())),
            Op::Binary(op, a, b) => number(a, &|x| number(b, &|y| op.apply(x, y))),
            Op::Compare(op, a, b) => number(a, &|x| number(b, &|y| Value::Truth(op.holds(x, y)))),
            Op::Not(a) => match value(a) {
                Value::Truth(t) => Value::Truth(!t),
                other => other,
            },
            Op::And(a, b) => three_valued(value(a), value(b), false),
            Op::Or(a, b) => three_valued(value(a), value(b), true),
            Op::DaysSince(_) => {
                let latest = self.dates(node).into_iter().rfind(|d| *d <= date);
                latest.map_or(Value::missing(Reason::NoObservation), |d| {
                    Value::Number((date - d).num_days().into())
                })
            }
            Op::Rolling { .. } | Op::Past { .. } => self.windowed(node, date),
        }
    }

    fn windowed(&self, node: &Node, date: NaiveDate) -> Value {
        for input in self.inputs(node) {
            let observed = self.observed(input, date);
            if matches!(observed, Value::Missing(_)) {
                return observed;
            }
        }
        let dates = self.dates(node);
        let current = dates.iter().rposition(|d| *d <= date).unwrap();
        match &node.op {
            Op::Rolling {
                over,
                window,
                excluding_current,
                statistic,
            } => self.rolling(
                node,
                *over,
                *window,
                *excluding_current,
                *statistic,
                &dates,
                current,
            ),
            Op::Past {
                over,
                ago,
                relation,
            } => self.past(node, *over, *ago, *relation, &dates, current),
            _ => unreachable!(),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one operation")]
    fn rolling(
        &self,
        node: &Node,
        over: NodeIndex,
        window: Window,
        excluding: bool,
        statistic: Statistic,
        dates: &[NaiveDate],
        current: usize,
    ) -> Value {
        let (members, covered) = members(node.frequency, window, excluding, dates, current);
        let today = dates[current];
        let values: Vec<Value> = members
            .iter()
            .map(|i| self.value(over, dates[*i]))
            .collect();
        if statistic == Statistic::Sustained {
            return match () {
                () if values.contains(&Value::Truth(false)) => Value::Truth(false),
                () if !covered => Value::missing(Reason::WindowNotCovered),
                () if values.iter().any(|v| v.truth().is_none()) => {
                    Value::missing(Reason::WindowEmpty)
                }
                () => Value::Truth(true),
            };
        }
        let now = match self.value(over, today) {
            Value::Number(now) => now,
            missing => return missing,
        };
        if !covered {
            return Value::missing(Reason::WindowNotCovered);
        }
        let numbers: Vec<Decimal> = values.iter().filter_map(|v| v.number()).collect();
        if numbers.is_empty() {
            return Value::missing(Reason::WindowEmpty);
        }
        let count = Decimal::from(numbers.len());
        let sum: Decimal = numbers.iter().sum();
        let floats: Vec<f64> = numbers.iter().map(|n| to_float(*n)).collect();
        let mean = floats.iter().sum::<f64>() / floats.len() as f64;
        let squares: f64 = floats.iter().map(|x| (x - mean) * (x - mean)).sum();
        let deviation = (squares / (floats.len() as f64 - 1.0)).sqrt();
        let flat = numbers.iter().all(|n| *n == numbers[0]);
        match statistic {
            Statistic::Sum => Value::Number(sum),
            Statistic::Mean => divide(sum, count),
            Statistic::Lowest => Value::Number(*numbers.iter().min().unwrap()),
            Statistic::Highest => Value::Number(*numbers.iter().max().unwrap()),
            Statistic::StandardDeviation | Statistic::ZScore if numbers.len() < 2 => {
                Value::missing(Reason::WindowEmpty)
            }
            Statistic::StandardDeviation if flat => Value::Number(Decimal::ZERO),
            Statistic::StandardDeviation => from_float(deviation),
            Statistic::ZScore if flat => Value::missing(Reason::DivisionByZero),
            Statistic::ZScore => from_float((to_float(now) - mean) / deviation),
            Statistic::Percentile => {
                let mut others = numbers;
                if !excluding {
                    others.remove(others.iter().position(|n| *n == now).unwrap());
                }
                if others.is_empty() {
                    return Value::missing(Reason::WindowEmpty);
                }
                let below = others.iter().filter(|n| **n < now).count() * 2;
                let equal = others.iter().filter(|n| **n == now).count();
                divide(Decimal::from((below + equal) * 50), others.len().into())
            }
            Statistic::Sustained => unreachable!(),
        }
    }

    fn past(
        &self,
        node: &Node,
        over: NodeIndex,
        ago: Window,
        relation: Relation,
        dates: &[NaiveDate],
        current: usize,
    ) -> Value {
        let now = match self.value(over, dates[current]) {
            Value::Number(now) => now,
            missing => return missing,
        };
        let then = match ago {
            Window::Count(n) => current.checked_sub(n as usize).map(|i| dates[i]),
            Window::Span(span) => {
                let wanted = span.before(dates[current]);
                let quarter = |d: NaiveDate| (d.year(), d.month0() / 3);
                let fits = |d: &NaiveDate| match node.frequency {
                    Frequency::Annual => d.year() == wanted.year(),
                    Frequency::Quarterly => quarter(*d) == quarter(wanted),
                    Frequency::Monthly => (d.year(), d.month()) == (wanted.year(), wanted.month()),
                    Frequency::Weekly => (wanted - *d).num_days().abs() <= 3,
                    _ => (0..=i64::from(node.max_age_days)).contains(&(wanted - *d).num_days()),
                };
                dates[..current].iter().copied().rfind(fits)
            }
        };
        let Some(then) = then else {
            return Value::missing(Reason::NoPastValue);
        };
        match (self.value(over, then), relation) {
            (Value::Number(then), Relation::Value) => Value::Number(then),
            (Value::Number(then), Relation::Change) => Value::Number(now - then),
            (Value::Number(then), Relation::PercentChange) => percent_change(now, then),
            (missing, _) => missing,
        }
    }
}

fn three_valued(left: Value, right: Value, deciding: bool) -> Value {
    let decided = Value::Truth(deciding);
    match (left, right) {
        (l, r) if l == decided || r == decided => decided,
        (Value::Missing(_), _) => left,
        _ => right,
    }
}

/// The dates in a window by their index, and whether the series covers it.
fn members(
    frequency: Frequency,
    window: Window,
    excluding: bool,
    dates: &[NaiveDate],
    current: usize,
) -> (Vec<usize>, bool) {
    let by_period = frequency >= Frequency::Monthly;
    let today = dates[current];
    let last = current + usize::from(!excluding);
    match window {
        Window::Count(n) => {
            let n = n as usize;
            ((last.saturating_sub(n)..last).collect(), last >= n)
        }
        Window::Span(span) => {
            let first = match span {
                Span::Months(n) if by_period => {
                    let month = today.with_day(1).unwrap();
                    month - Months::new(if excluding { n } else { n - 1 })
                }
                Span::Months(n) if excluding => today - Months::new(n),
                Span::Months(n) => today - Months::new(n) + Days::new(1),
                Span::Days(n) if excluding => today - Days::new(n.into()),
                Span::Days(n) => today - Days::new(n.into()) + Days::new(1),
            };
            let members = (0..last).filter(|i| dates[*i] >= first).collect();
            (members, dates[0] < frequency.covered_before(first))
        }
    }
}
