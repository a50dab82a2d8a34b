//! The passing of time as a series of its own, so that it stands in the sequence of points like everything else.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use ulid::Ulid;

use super::{Cause, Point};

/// Id of the series that has an observation for each day that has passed. No event can bring a point of it,
/// and no file can name it, as both refuse an empty id.
pub const TIME: &str = "";

/// At most so many of the days that have passed since the last time step are made up for: the newest ones.
const CATCH_UP_DAYS_MAX: i64 = 31;

/// The time step of a day: it has passed, in UTC. A step of its own, at the end of the day.
pub fn passed(day: NaiveDate) -> Point {
    let end = end_of(day);
    Point {
        cause: Cause {
            source: Arc::from(""),
            position: u64::from(day.num_days_from_ce().unsigned_abs()),
            index: 0,
            event_id: Ulid::nil(),
            occurred_at: end,
        },
        series: Arc::from(TIME),
        date: day,
        known_from: end,
        value: Some(Decimal::ONE),
    }
}

/// The time steps that are due: one for each day that is over at a moment, and lies behind the last one. Without a last
/// one time begins with the day before the moment.
pub fn due(last: Option<NaiveDate>, moment: DateTime<Utc>) -> Vec<Point> {
    let Some(newest) = moment.date_naive().pred_opt() else {
        return Vec::new();
    };
    let next = last.map_or(Some(newest), |last| last.succ_opt());
    let earliest = newest.checked_sub_signed(TimeDelta::days(CATCH_UP_DAYS_MAX - 1));
    let first = next.max(earliest);
    let days = first.into_iter().flat_map(|first| first.iter_days());
    days.take_while(|day| *day <= newest).map(passed).collect()
}

/// The first moment after a day, in UTC.
pub fn end_of(day: NaiveDate) -> DateTime<Utc> {
    let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
    next.and_time(NaiveTime::MIN).and_utc()
}

impl Cause {
    /// Whether time has passed, and no event is the cause.
    pub fn is_time(&self) -> bool {
        self.source.is_empty()
    }

    /// The event as events name it; empty if there is none.
    pub fn event_text(&self) -> String {
        match self.is_time() {
            true => String::new(),
            false => self.event_id.to_string(),
        }
    }

    /// The position of the event as events name it; 0 if there is none.
    pub fn event_position(&self) -> u64 {
        match self.is_time() {
            true => 0,
            false => self.position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(last: Option<&str>, moment: &str) -> Vec<String> {
        let last = last.map(|day| day.parse().unwrap());
        let due = due(last, moment.parse().unwrap());
        due.iter().map(|point| point.date.to_string()).collect()
    }

    #[test]
    fn a_day_is_due_once_it_is_over_and_never_again() {
        assert_eq!(days(None, "2024-03-05T00:00:00Z"), ["2024-03-04"]);
        let last = Some("2024-03-04");
        assert!(days(last, "2024-03-05T23:59:59Z").is_empty());
        assert_eq!(days(last, "2024-03-06T00:00:00Z"), ["2024-03-05"]);
        let missed = ["2024-03-05", "2024-03-06", "2024-03-07"];
        assert_eq!(days(last, "2024-03-08T12:00:00Z"), missed);
        // A clock that goes back.
        assert!(days(last, "2024-02-01T00:00:00Z").is_empty());
        // After a long time only the newest days.
        let late = days(last, "2025-03-05T00:00:00Z");
        assert_eq!(late.len(), 31);
        assert_eq!(late[0], "2025-02-02");
        assert_eq!(late[30], "2025-03-04");
    }
}
