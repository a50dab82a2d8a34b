//! What day it is for the stand-in.

use chrono::{Days, FixedOffset, NaiveDate, Utc};

/// The last day of FRED's calendar, standing for "until further notice".
pub(crate) const LAST_DAY: NaiveDate = day(9999, 12, 31);
/// The first day of FRED's real-time calendar.
pub(crate) const FIRST_REALTIME_DAY: NaiveDate = day(1776, 7, 4);
/// The first day of FRED's calendar of observations.
pub(crate) const FIRST_OBSERVATION_DAY: NaiveDate = day(1600, 1, 1);

/// FRED lives in St. Louis: around midnight UTC its today is still yesterday.
const ST_LOUIS_OFFSET_SECONDS: i32 = -6 * 3600;

#[expect(
    clippy::expect_used,
    reason = "evaluated at compile time, on constants"
)]
const fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a day of the calendar")
}

/// Knows what day it is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clock {
    /// The machine's day, in FRED's time zone (without daylight saving).
    System,
    /// A day that changes only when somebody says so.
    Fixed(NaiveDate),
}

impl Clock {
    pub(crate) fn today(self) -> NaiveDate {
        match self {
            Self::Fixed(today) => today,
            Self::System => match FixedOffset::east_opt(ST_LOUIS_OFFSET_SECONDS) {
                Some(st_louis) => Utc::now().with_timezone(&st_louis).date_naive(),
                None => Utc::now().date_naive(),
            },
        }
    }
}

/// The day before; the first day of the calendar has none and stays.
pub(crate) fn day_before(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(Days::new(1)).unwrap_or(date)
}
