use std::collections::VecDeque;

use chrono::{Datelike, NaiveDate};
use rust_decimal::Decimal;

use super::column::Axis;
use super::sum::ExactSum;
use crate::calendar::{Frequency, Span, Window};
use crate::expression::node::Statistic;
use crate::expression::value::{Reason, Value, divide, from_float, order, to_float};

/// A window and what is computed from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollingSpec {
    pub(crate) window: Window,
    pub(crate) excluding_current: bool,
    pub(crate) statistic: Statistic,
    pub(crate) frequency: Frequency,
    /// Whether the values are rounded.
    pub(crate) rounded: bool,
}

/// The part of an axis that lies in the window of one of its dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    start: usize,
    end: usize,
    covered: bool,
}

impl RollingSpec {
    /// The first date that can lie in the window of `date`.
    fn first_date(&self, span: Span, date: NaiveDate) -> NaiveDate {
        match span {
            // Months of a monthly series are counted as months, whatever day dates them.
            Span::Months(months) if self.frequency.is_by_period() => {
                let month = date.with_day(1).unwrap_or(date);
                let excluded = u32::from(!self.excluding_current);
                Span::Months(months - excluded).before(month)
            }
            _ if self.excluding_current => span.before(date),
            _ => {
                let outside = span.before(date);
                outside.succ_opt().unwrap_or(outside)
            }
        }
    }

    /// The window of the date at `current`. `from`: an index that the window starts at or after.
    fn extent(&self, axis: Axis<'_>, current: usize, from: usize) -> Extent {
        let dates = axis.dates();
        let begin = axis.begin();
        let end = current + usize::from(!self.excluding_current);
        match self.window {
            Window::Count(count) => {
                let count = count as usize;
                Extent {
                    start: end.saturating_sub(count),
                    end,
                    covered: end >= begin + count,
                }
            }
            Window::Span(span) => {
                let first = self.first_date(span, dates[current]);
                let start = match from {
                    0 => dates[..end].partition_point(|d| *d < first),
                    from => dates[..end]
                        .iter()
                        .skip(from)
                        .position(|d| *d >= first)
                        .map_or(end, |ahead| from + ahead),
                };
                // What lies before the beginning is no part of the series.
                let start = start.max(begin.min(end));
                let begin_date = dates.get(begin);
                let covered = begin_date.is_some_and(|d| *d < self.frequency.covered_before(first));
                // At a date before it begins, wherever that is.
                let covered = covered && begin < end;
                Extent {
                    start,
                    end,
                    covered,
                }
            }
        }
    }
}

/// A window on its way along an axis. It takes in what enters and leaves out what goes, so that a step
/// costs the same however long the window is; sums are exact, so that the way leaves no trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rolling {
    /// The index whose window this is.
    at: Option<usize>,
    start: usize,
    end: usize,
    sum: ExactSum,
    known: usize,
    held: usize,
    /// Indices of candidates for the lowest or highest value, best first.
    extremes: VecDeque<usize>,
    /// How many values the last step took in or left out.
    moved: usize,
}

impl Rolling {
    /// What stood in the window may have changed: the next step begins afresh.
    pub(crate) fn forget(&mut self) {
        self.at = None;
    }

    /// The statistic of the window of the date at `current`.
    pub(crate) fn step(&mut self, axis: Axis<'_>, spec: &RollingSpec, current: usize) -> Value {
        let follows = self.at.is_some() && self.at == current.checked_sub(1);
        let from = if follows { self.start } else { 0 };
        let extent = spec.extent(axis, current, from);
        if !follows {
            self.restart(extent.start);
        }
        self.moved = extent.end.saturating_sub(self.end) + extent.start.saturating_sub(self.start);
        while self.end < extent.end {
            self.include(axis, spec.statistic);
        }
        while self.start < extent.start {
            self.exclude(axis, spec.statistic);
        }
        self.at = Some(current);
        self.result(axis, spec, current, extent)
    }

    /// What the last step has cost, in steps of work.
    pub(crate) fn cost(&self, spec: &RollingSpec) -> usize {
        let looked_at = match spec.statistic {
            Statistic::StandardDeviation | Statistic::ZScore | Statistic::Percentile => {
                self.end - self.start
            }
            Statistic::Mean
            | Statistic::Sum
            | Statistic::Lowest
            | Statistic::Highest
            | Statistic::Sustained => 0,
        };
        1 + self.moved + looked_at
    }

    fn restart(&mut self, start: usize) {
        self.extremes.clear();
        self.sum = ExactSum::default();
        (self.start, self.end) = (start, start);
        (self.known, self.held) = (0, 0);
    }

    fn include(&mut self, axis: Axis<'_>, statistic: Statistic) {
        let index = self.end;
        self.end += 1;
        match axis.value(index) {
            Value::Missing(_) => return,
            Value::Truth(holds) => self.held += usize::from(holds),
            Value::Number(number) => match statistic {
                Statistic::Mean | Statistic::Sum => self.sum.add(number),
                Statistic::Lowest => self.include_extreme(axis, index, |other| other >= number),
                Statistic::Highest => self.include_extreme(axis, index, |other| other <= number),
                _ => {}
            },
        }
        self.known += 1;
    }

    fn include_extreme(&mut self, axis: Axis<'_>, index: usize, beaten: impl Fn(Decimal) -> bool) {
        while let Some(last) = self.extremes.back() {
            if !axis.value(*last).number().is_some_and(&beaten) {
                break;
            }
            self.extremes.pop_back();
        }
        self.extremes.push_back(index);
    }

    fn exclude(&mut self, axis: Axis<'_>, statistic: Statistic) {
        let index = self.start;
        self.start += 1;
        match axis.value(index) {
            Value::Missing(_) => return,
            Value::Truth(holds) => self.held -= usize::from(holds),
            Value::Number(number) => match statistic {
                Statistic::Mean | Statistic::Sum => self.sum.subtract(number),
                Statistic::Lowest | Statistic::Highest if self.extremes.front() == Some(&index) => {
                    self.extremes.pop_front();
                }
                _ => {}
            },
        }
        self.known -= 1;
    }

    fn result(&self, axis: Axis<'_>, spec: &RollingSpec, current: usize, extent: Extent) -> Value {
        if spec.statistic == Statistic::Sustained {
            return self.sustained(extent);
        }
        let now = match axis.value(current) {
            Value::Number(now) => now,
            missing => return missing,
        };
        if !extent.covered {
            return Value::missing(Reason::WindowNotCovered);
        }
        if self.known == 0 {
            return Value::missing(Reason::WindowEmpty);
        }
        match spec.statistic {
            Statistic::Sum => self.sum.total(),
            Statistic::Mean => match self.sum.total() {
                Value::Number(sum) => divide(sum, Decimal::from(self.known)),
                missing => missing,
            },
            Statistic::Lowest | Statistic::Highest => match self.extremes.front() {
                Some(best) => axis.value(*best),
                None => Value::missing(Reason::WindowEmpty),
            },
            Statistic::StandardDeviation => match self.moments(axis) {
                Some((_, deviation)) => from_float(deviation),
                None => Value::missing(Reason::WindowEmpty),
            },
            Statistic::ZScore => match self.moments(axis) {
                Some((_, 0.0)) => Value::missing(Reason::DivisionByZero),
                Some((mean, deviation)) => from_float((to_float(now) - mean) / deviation),
                None => Value::missing(Reason::WindowEmpty),
            },
            Statistic::Percentile => self.percentile(axis, current, now, spec.rounded),
            Statistic::Sustained => self.sustained(extent),
        }
    }

    fn sustained(&self, extent: Extent) -> Value {
        let all_known = self.known == self.end - self.start;
        if self.held < self.known {
            Value::Truth(false)
        } else if !extent.covered {
            Value::missing(Reason::WindowNotCovered)
        } else if !all_known || self.known == 0 {
            Value::missing(Reason::WindowEmpty)
        } else {
            Value::Truth(true)
        }
    }

    fn numbers<'a>(&self, axis: Axis<'a>) -> impl Iterator<Item = (usize, Decimal)> + use<'a> {
        let known = move |index| Some((index, axis.value(index).number()?));
        (self.start..self.end).filter_map(known)
    }

    /// Mean and sample standard deviation, always summed from the oldest on, so that they do not
    /// depend on the way the window came.
    fn moments(&self, axis: Axis<'_>) -> Option<(f64, f64)> {
        if self.known < 2 {
            return None;
        }
        let floats = || self.numbers(axis).map(|(_, number)| to_float(number));
        let mean = floats().sum::<f64>() / self.known as f64;
        let squares: f64 = floats().map(|x| (x - mean) * (x - mean)).sum();
        let deviation = (squares / (self.known - 1) as f64).sqrt();
        // What is left of equal values after rounding the mean is no deviation.
        let noise = mean.abs() * 1e-13;
        Some((mean, if deviation <= noise { 0.0 } else { deviation }))
    }

    fn percentile(&self, axis: Axis<'_>, current: usize, now: Decimal, rounded: bool) -> Value {
        let (mut others, mut halves) = (0_u32, 0_u32);
        for (index, number) in self.numbers(axis) {
            if index == current {
                continue;
            }
            others += 1;
            halves += match order(number, now, rounded) {
                std::cmp::Ordering::Less => 2,
                std::cmp::Ordering::Equal => 1,
                std::cmp::Ordering::Greater => 0,
            };
        }
        if others == 0 {
            return Value::missing(Reason::WindowEmpty);
        }
        divide(Decimal::from(halves) * Decimal::from(50), others.into())
    }
}
