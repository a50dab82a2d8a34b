//! The days that pass while history is played.

use chrono::{Days, NaiveDate};

use super::{AsKnown, Options};
use evaluation::series::{Point, end_of, passed};

/// A last date that means: as far as there are observations.
pub(crate) const NO_LAST_DATE: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(date) => date,
    None => NaiveDate::MAX,
};

/// So many days pass after the newest observation at the most, where the last date asked for lies behind it.
const DAYS_AFTER_MAX: u64 = 366;

/// With the days that pass, if any definition is evaluated daily: from the first moment at which anything was known to the last one, or to the last date asked
/// for. A day passes behind everything that was known by its end.
pub(super) fn with_days(points: Vec<Point>, options: Options, is_daily: bool) -> Vec<Point> {
    let at = |point: &Point| match options.as_known {
        AsKnown::Then => point.known_from.date_naive(),
        AsKnown::Stored => point.cause.occurred_at.date_naive(),
        AsKnown::Now => point.date,
    };
    let dates = points.iter().map(at);
    let (first, newest) = match dates.clone().min().zip(dates.max()) {
        Some(range) if is_daily => range,
        _ => return points,
    };
    let last = match options.to {
        NO_LAST_DATE => newest,
        to => to.min(newest + Days::new(DAYS_AFTER_MAX)),
    };
    let mut days = first.iter_days().take_while(|day| *day <= last).peekable();
    let mut all = Vec::with_capacity(points.len());
    for point in points {
        if options.as_known == AsKnown::Stored {
            while let Some(day) = days.next_if(|day| end_of(*day) <= point.cause.occurred_at) {
                all.push(passed(day));
            }
        }
        all.push(point);
    }
    all.extend(days.map(passed));
    all
}
