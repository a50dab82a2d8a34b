//! Evaluation from scratch, with nothing kept: what the incremental one is compared with.
#![expect(clippy::unwrap_used, reason = "for tests: one that cannot go on fails")]

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use chrono::{Datelike, Days, Months, NaiveDate};
use rust_decimal::Decimal;

use crate::calendar::{Frequency, Span, Window};
use crate::expression::node::{Arithmetic, Node, NodeIndex, Op, Program, Relation, Statistic};
use crate::expression::value::{
    Missing, Reason, Value, as_divisor, divide, from_float, order, percent_change, to_float,
};
use crate::series::SeriesStore;

/// A series written out: each of its dates with the value there, from the first value on.
type Written = Rc<Vec<(NaiveDate, Value)>>;

/// Evaluates a program over a store from scratch, date by date.
pub struct Naive<'a> {
    program: &'a Program,
    store: &'a SeriesStore,
    written: RefCell<HashMap<usize, Written>>,
}

impl<'a> Naive<'a> {
    /// Over what the store has now.
    pub fn new(program: &'a Program, store: &'a SeriesStore) -> Self {
        let written = RefCell::default();
        Self {
            program,
            store,
            written,
        }
    }

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

    /// Writes a series out, as if it had been published so: date by date, and it begins with its first
    /// value.
    fn written(&self, index: NodeIndex) -> Written {
        if let Some(written) = self.written.borrow().get(&index.position()) {
            return written.clone();
        }
        let dates = self.dates(self.program.node(index)).into_iter();
        let all = dates.map(|date| (date, self.value(index, date)));
        let no_data = |(_, value): &(NaiveDate, Value)| matches!(value, Value::Missing(_));
        let written = Rc::new(all.skip_while(no_data).collect::<Vec<_>>());
        let mut known = self.written.borrow_mut();
        known.insert(index.position(), written.clone());
        written
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

    /// What a node is at a date, as it is shown.
    pub fn shown(&self, index: NodeIndex, date: NaiveDate) -> Value {
        let value = self.value(index, date);
        match self.program.node(index).rounded {
            true => value.shown(),
            false => value,
        }
    }

    fn value(&self, index: NodeIndex, date: NaiveDate) -> Value {
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
            Op::Binary(op, a, b) => number(a, &|x| {
                number(b, &|y| match op {
                    Arithmetic::Divide => op.apply(x, self.divisor(*b, y)),
                    _ => op.apply(x, y),
                })
            }),
            Op::Compare(op, a, b) => number(a, &|x| {
                number(b, &|y| Value::Truth(op.holds(order(x, y, node.rounded))))
            }),
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

    fn divisor(&self, part: NodeIndex, number: Decimal) -> Decimal {
        as_divisor(number, self.program.node(part).rounded)
    }

    fn windowed(&self, node: &Node, date: NaiveDate) -> Value {
        for input in self.inputs(node) {
            let observed = self.observed(input, date);
            if matches!(observed, Value::Missing(_)) {
                return observed;
            }
        }
        let dates = self.dates(node);
        let today = *dates.iter().rfind(|d| **d <= date).unwrap();
        match &node.op {
            Op::Rolling {
                over,
                window,
                excluding_current,
                statistic,
            } => self.rolling(node, *over, *window, *excluding_current, *statistic, today),
            Op::Past {
                over,
                ago,
                relation,
            } => self.past(node, *over, *ago, *relation, today),
            _ => unreachable!(),
        }
    }

    fn rolling(
        &self,
        node: &Node,
        over: NodeIndex,
        window: Window,
        excluding: bool,
        statistic: Statistic,
        today: NaiveDate,
    ) -> Value {
        let series = self.written(over);
        let (values, covered) = members(node.frequency, window, excluding, &series, today);
        if statistic == Statistic::Sustained {
            return match () {
                () if values.contains(&Value::Truth(false)) => Value::Truth(false),
                () if !covered => Value::missing(Reason::WindowNotCovered),
                () if values.is_empty() || values.iter().any(|v| v.truth().is_none()) => {
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
                let rounded = self.program.node(over).rounded;
                let count = |wanted: Ordering| {
                    let others = others.iter();
                    others
                        .filter(|n| order(**n, now, rounded) == wanted)
                        .count()
                };
                let below = count(Ordering::Less) * 2;
                let equal = count(Ordering::Equal);
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
        today: NaiveDate,
    ) -> Value {
        let now = match self.value(over, today) {
            Value::Number(now) => now,
            missing => return missing,
        };
        let mut dates = self.dates(self.program.node(over));
        dates.retain(|d| *d < today);
        let then = match ago {
            Window::Count(n) => dates.iter().rev().nth(n as usize - 1).copied(),
            Window::Span(span) => {
                let wanted = span.before(today);
                let quarter = |d: NaiveDate| (d.year(), d.month0() / 3);
                let fits = |d: &NaiveDate| match node.frequency {
                    Frequency::Annual => d.year() == wanted.year(),
                    Frequency::Quarterly => quarter(*d) == quarter(wanted),
                    Frequency::Monthly => (d.year(), d.month()) == (wanted.year(), wanted.month()),
                    Frequency::Weekly => (wanted - *d).num_days().abs() <= 3,
                    _ => (0..=i64::from(node.max_age_days)).contains(&(wanted - *d).num_days()),
                };
                dates.iter().copied().rfind(fits)
            }
        };
        let Some(then) = then else {
            return Value::missing(Reason::NoPastValue);
        };
        match (self.value(over, then), relation) {
            (Value::Number(then), Relation::Value) => Value::Number(then),
            (Value::Number(then), Relation::Change) => Value::Number(now - then),
            (Value::Number(then), Relation::PercentChange) => {
                percent_change(now, self.divisor(over, then))
            }
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

/// The values in the window of a date, and whether the series covers it: whether it begins within the
/// first period of the window or earlier.
fn members(
    frequency: Frequency,
    window: Window,
    excluding: bool,
    series: &[(NaiveDate, Value)],
    today: NaiveDate,
) -> (Vec<Value>, bool) {
    let in_time = |d: NaiveDate| if excluding { d < today } else { d <= today };
    let by_then = series.iter().filter(|(d, _)| in_time(*d));
    let by_then: Vec<(NaiveDate, Value)> = by_then.copied().collect();
    let span = match window {
        Window::Span(span) => span,
        Window::Count(n) => {
            let values = by_then.iter().rev().take(n as usize).map(|(_, v)| *v);
            return (values.rev().collect(), by_then.len() >= n as usize);
        }
    };
    // Months as numbers, so that nothing is shared with the calendar of the product.
    let month = |d: NaiveDate| d.year() * 12 + d.month0() as i32;
    let period_months = months_of(frequency);
    let first_month = match span {
        Span::Months(n) if period_months > 0 => {
            Some(month(today) - n as i32 + i32::from(!excluding))
        }
        _ => None,
    };
    // The day before the window; with `excluding` the window begins with it.
    let outside = match span {
        Span::Months(n) => today - Months::new(n),
        Span::Days(n) => today - Days::new(n.into()),
    };
    let first_day = outside + Days::new(u64::from(!excluding));
    let inside = |d: NaiveDate| match first_month {
        Some(first) => month(d) >= first,
        None => d >= first_day,
    };
    let values = by_then.iter().filter(|(d, _)| inside(*d));
    let values = values.map(|(_, v)| *v).collect();
    let covered = by_then.first().is_some_and(|(begin, _)| match first_month {
        Some(first) => month(*begin) < first + period_months as i32,
        None => {
            let period = match frequency {
                Frequency::Irregular => Days::new(1),
                Frequency::Daily => Days::new(5),
                Frequency::Weekly => Days::new(7),
                _ => return *begin < first_day + Months::new(period_months),
            };
            *begin < first_day + period
        }
    });
    (values, covered)
}

fn months_of(frequency: Frequency) -> u32 {
    match frequency {
        Frequency::Quarterly => 3,
        Frequency::Annual => 12,
        Frequency::Monthly => 1,
        _ => 0,
    }
}
