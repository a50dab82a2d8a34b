use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::{Observations, future::Future, reached};

/// What was recorded of a series that is not held yet: of each date the vintage in force.
#[derive(Clone, Debug, Default)]
pub struct LoadedSeries {
    observations: Observations,
    /// The latest moment of its points.
    last: Option<DateTime<Utc>>,
}

impl LoadedSeries {
    /// Takes the next point of the series in.
    pub fn take(
        &mut self,
        date: NaiveDate,
        known_from: DateTime<Utc>,
        occurred_at: DateTime<Utc>,
        value: Option<Decimal>,
    ) {
        self.observations.apply(date, known_from, value);
        self.last = self.last.max(Some(known_from.min(occurred_at)));
    }

    /// The last date that a point of it has reached.
    pub fn reached(&self) -> Option<NaiveDate> {
        self.last.map(reached)
    }

    /// What is in force up to a date, and what is dated later.
    pub fn split(mut self, last: Option<NaiveDate>) -> (Observations, Vec<(NaiveDate, Future)>) {
        let future = match last {
            Some(last) => self.observations.split_after(last),
            None => Vec::new(),
        };
        (self.observations, future)
    }
}
