//! What an answer has to be besides well-formed: storable, and not of the future. What breaks a rule
//! here would otherwise fail in the database, or move a series' cursor past all that is to come.

use chrono::{Datelike, Days, NaiveDate};

use super::{FredError, FredObservation, FredSeries};

/// The first day of FRED's real-time calendar.
pub(crate) const FIRST_REALTIME_DAY: NaiveDate = NaiveDate::from_ymd_opt(1776, 7, 4).unwrap();
/// The last day of FRED's real-time calendar, which stands for "still".
pub(crate) const LAST_REALTIME_DAY: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap();
/// The years of observation dates, as the contract has them.
const YEARS: std::ops::RangeInclusive<i32> = 1..=9_999;
/// FRED's titles have some 200 characters.
const TEXT_CHARS_MAX: usize = 2_000;
/// How far the machine's clock may be behind FRED's.
const AHEAD_MAX: Days = Days::new(1);

/// Checks what FRED says about a series.
pub(super) fn check_series(series: &FredSeries) -> Result<(), FredError> {
    for (field, text) in [
        ("id", &series.id),
        ("title", &series.title),
        ("frequency", &series.frequency),
        ("units", &series.units),
        ("seasonal_adjustment", &series.seasonal_adjustment),
    ] {
        if text.chars().any(char::is_control) {
            return malformed(format!(
                "the {field} of the series holds a control character"
            ));
        }
        if text.chars().count() > TEXT_CHARS_MAX {
            let problem = "of the series has more than 2,000 characters";
            return malformed(format!("the {field} {problem}"));
        }
    }
    Ok(())
}

/// Checks observations as they are on `today`.
pub(super) fn check_observations(
    rows: &[FredObservation],
    today: NaiveDate,
) -> Result<(), FredError> {
    for row in rows {
        if !YEARS.contains(&row.date.year()) {
            let date = row.date;
            return malformed(format!("the date {date} is not in the years 1 to 9999"));
        }
        check_realtime(row.realtime_start, today)?;
        if !(row.realtime_start..=LAST_REALTIME_DAY).contains(&row.realtime_end) {
            let FredObservation {
                date, realtime_end, ..
            } = row;
            let problem = "which is before it began or after 9999-12-31";
            return malformed(format!(
                "a value of {date} is known until {realtime_end}, {problem}"
            ));
        }
    }
    Ok(())
}

/// Checks vintage dates as they are on `today`.
pub(super) fn check_vintage_dates(days: &[NaiveDate], today: NaiveDate) -> Result<(), FredError> {
    days.iter()
        .try_for_each(|day| check_realtime(*day, today))?;
    match days.is_sorted_by(|a, b| a < b) {
        true => Ok(()),
        false => malformed("the vintage dates are not in order".to_owned()),
    }
}

/// Checks a day on which something became known.
fn check_realtime(day: NaiveDate, today: NaiveDate) -> Result<(), FredError> {
    if day < FIRST_REALTIME_DAY {
        return malformed(format!(
            "something became known on {day}, before 1776-07-04"
        ));
    }
    if day > today + AHEAD_MAX {
        let problem = format!("something becomes known on {day} only, and today is {today}");
        return malformed(problem);
    }
    Ok(())
}

fn malformed(problem: String) -> Result<(), FredError> {
    Err(FredError::Malformed { problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[track_caller]
    fn check_row(date: &str, start: &str, end: &str, is_good: bool) {
        let row = FredObservation {
            realtime_start: day(start),
            realtime_end: day(end),
            date: day(date),
            value: None,
        };
        let checked = check_observations(std::slice::from_ref(&row), day("2024-10-12"));
        assert_eq!(checked.is_ok(), is_good, "{row:?}");
    }

    #[test]
    fn rows_are_in_the_calendar_and_not_of_the_future() {
        let last = "9999-12-31";
        check_row("2024-09-01", "2024-10-12", last, true);
        check_row("2050-01-01", "2024-10-12", last, true);
        check_row("2024-09-01", "2024-10-13", last, true);
        check_row("2024-09-01", "2024-10-14", last, false);
        check_row("2024-09-01", "2999-01-01", last, false);
        check_row("2024-09-01", "1776-07-03", last, false);
        check_row("2024-09-01", "2024-10-12", "2024-10-11", false);
        check_row("2024-09-01", "2024-10-12", "+10000-01-01", false);
        check_row("2024-09-01", "2024-10-12", "+262142-12-31", false);
        check_row("+10000-01-01", "2024-10-12", last, false);
        check_row("-0001-01-01", "2024-10-12", last, false);
        check_row("0000-01-01", "2024-10-12", last, false);
    }

    #[test]
    fn vintage_dates_are_in_order_and_not_of_the_future() {
        let check = |days: &[&str]| {
            let days: Vec<_> = days.iter().map(|text| day(text)).collect();
            check_vintage_dates(&days, day("2024-10-12")).is_ok()
        };
        assert!(check(&[]));
        assert!(check(&["1776-07-04", "2024-10-12"]));
        assert!(!check(&["2024-10-12", "2024-10-11"]));
        assert!(!check(&["2024-10-12", "2024-10-12"]));
        assert!(!check(&["2024-10-12", "2999-01-01"]));
    }
}
