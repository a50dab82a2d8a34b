use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::{Point, SeriesIndex};

/// A date counts as reached one day before it begins in UTC: somewhere it may have begun already.
const TOLERANCE_DAYS: i64 = 1;

/// The moment at which a point became known, as far as it can be believed: `known_from` is what the
/// source says, and the event's own time is checked by the log that accepted it.
pub fn moment(point: &Point) -> DateTime<Utc> {
    point.known_from.min(point.cause.occurred_at)
}

/// The last date that is not in the future at a moment.
pub fn reached(moment: DateTime<Utc>) -> NaiveDate {
    let day = moment.date_naive();
    day.checked_add_signed(chrono::TimeDelta::days(TOLERANCE_DAYS))
        .unwrap_or(day)
}

/// A value of a date that is not reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Future {
    /// From when it is known.
    pub known_from: DateTime<Utc>,
    /// Absent: it is withdrawn.
    pub value: Option<Decimal>,
}

/// Observations of dates that were in the future when they became known. For each date and series
/// the vintage that would be in force.
#[derive(Clone, Debug, Default)]
pub struct FutureObservations {
    by_date: BTreeMap<(NaiveDate, SeriesIndex), Future>,
}

impl FutureObservations {
    /// Keeps a point, unless a newer vintage is kept.
    pub fn keep(&mut self, series: SeriesIndex, point: &Point) {
        let future = Future {
            known_from: point.known_from,
            value: point.value,
        };
        let kept = self.by_date.entry((point.date, series)).or_insert(future);
        if kept.known_from <= point.known_from {
            *kept = future;
        }
    }

    /// What is kept for a date.
    pub fn get(&self, date: NaiveDate, series: SeriesIndex) -> Option<Future> {
        self.by_date.get(&(date, series)).copied()
    }

    /// Keeps exactly this for a date, or nothing.
    pub fn set(&mut self, date: NaiveDate, series: SeriesIndex, future: Option<Future>) {
        match future {
            Some(future) => self.by_date.insert((date, series), future),
            None => self.by_date.remove(&(date, series)),
        };
    }

    /// All that is kept, by date.
    pub fn iter(&self) -> impl Iterator<Item = (NaiveDate, SeriesIndex, Future)> {
        let all = self.by_date.iter();
        all.map(|((date, series), future)| (*date, *series, *future))
    }

    /// Takes out what is dated `last` or before, by date.
    pub fn take_to(&mut self, last: NaiveDate) -> Vec<(NaiveDate, SeriesIndex, Future)> {
        let mut taken = Vec::new();
        while let Some(first) = self.by_date.first_entry()
            && first.key().0 <= last
        {
            let ((date, series), future) = first.remove_entry();
            taken.push((date, series, future));
        }
        taken
    }
}
