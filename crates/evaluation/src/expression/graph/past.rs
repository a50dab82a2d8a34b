use chrono::NaiveDate;

use super::column::Axis;
use crate::calendar::{Frequency, Span, Window};
use crate::expression::node::Relation;
use crate::expression::value::{Reason, Value, as_divisor, percent_change};
use crate::series::last_at;

const HALF_A_WEEK: Span = Span::Days(3);

/// A look back, and what is computed from what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PastSpec {
    pub(crate) ago: Window,
    pub(crate) relation: Relation,
    pub(crate) frequency: Frequency,
    pub(crate) max_age_days: u32,
    /// Whether the values are rounded.
    pub(crate) rounded: bool,
}

impl PastSpec {
    pub(crate) fn value(&self, axis: Axis<'_>, current: usize) -> Value {
        let now = match axis.value(current) {
            Value::Number(now) => now,
            missing => return missing,
        };
        let Some(then) = self.then(axis.dates(), current) else {
            return Value::missing(Reason::NoPastValue);
        };
        let then = match axis.value(then) {
            Value::Number(then) => then,
            missing => return missing,
        };
        match self.relation {
            Relation::Value => Value::Number(then),
            Relation::Change => Value::or_overflow(now.checked_sub(then)),
            Relation::PercentChange => percent_change(now, as_divisor(then, self.rounded)),
        }
    }

    /// Index of the observation that stands for the past date.
    fn then(&self, dates: &[NaiveDate], current: usize) -> Option<usize> {
        let span = match self.ago {
            Window::Count(count) => return current.checked_sub(count as usize),
            Window::Span(span) => span,
        };
        let wanted = span.before(dates[current]);
        let (earliest, latest) = match self.frequency {
            by_period if by_period.is_by_period() => by_period.period_of(wanted),
            // Months and years are no whole number of weeks: the seven days around the date hold one
            // observation, on whatever day weeks end.
            Frequency::Weekly => (HALF_A_WEEK.before(wanted), HALF_A_WEEK.after(wanted)),
            _ => (Span::Days(self.max_age_days).before(wanted), wanted),
        };
        let index = last_at(&dates[..current], latest)?;
        (dates[index] >= earliest).then_some(index)
    }

    /// After a change, entries up to this many days behind the span from it may find other
    /// observations.
    pub(crate) fn reach_days(&self) -> u32 {
        let reach = self.max_age_days.max(self.frequency.period_days_max());
        match self.ago {
            // Several month ends look back to one day: 28 to 31 March to 28 February.
            Window::Span(Span::Months(_)) => reach + 3,
            _ => reach,
        }
    }
}
