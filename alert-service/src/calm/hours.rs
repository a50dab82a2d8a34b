//! Times of the day in a zone, on some days of the week.

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clock::{moments, time};

const PERIODS_MAX: usize = 20;
const WEEK_MINUTES: usize = 7 * 24 * 60;
/// Of periods that follow each other within a week.
const STEPS_MAX: usize = 2 * 7 * PERIODS_MAX;

/// A time of the day, on some days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Period {
    /// Days on which it begins, `mon` to `sun`; all if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    days: Vec<Day>,
    /// When it begins.
    #[schema(example = "22:00")]
    from: String,
    /// When it ends; on the next day if that is not after `from`.
    #[schema(example = "07:00")]
    to: String,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl From<Day> for Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Self::Mon,
            Day::Tue => Self::Tue,
            Day::Wed => Self::Wed,
            Day::Thu => Self::Thu,
            Day::Fri => Self::Fri,
            Day::Sat => Self::Sat,
            Day::Sun => Self::Sun,
        }
    }
}

impl Period {
    fn begins_on(&self, weekday: Weekday) -> bool {
        self.days.is_empty() || self.days.iter().any(|day| Weekday::from(*day) == weekday)
    }

    /// From when to when it lasts if it begins on a day, by the clock of the place.
    fn on(&self, day: NaiveDate) -> Option<(NaiveDateTime, NaiveDateTime)> {
        let (from, to) = (time(&self.from)?, time(&self.to)?);
        let last = match to <= from {
            true => day.checked_add_days(Days::new(1))?,
            false => day,
        };
        Some((day.and_time(from), last.and_time(to)))
    }
}

/// When the periods end that a time is in; `None` if it is in none. Those that follow without a pause count as one.
///
/// Where the clocks are put back, a time that comes twice begins a period at its first and ends it at its second; where
/// they are put forward, one that is skipped is the first moment after the gap.
pub(super) fn until(zone: &str, periods: &[Period], at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let zone: Tz = zone.parse().ok()?;
    let mut until = None;
    for _ in 0..STEPS_MAX {
        match end_of_one(zone, periods, until.unwrap_or(at)) {
            Some(end) => until = Some(end),
            None => break,
        }
    }
    until
}

/// Whether a time is in one of the periods.
pub(crate) fn is_within(zone: &str, periods: &[Period], at: DateTime<Utc>) -> bool {
    let zone = zone.parse().ok();
    zone.is_some_and(|zone| end_of_one(zone, periods, at).is_some())
}

/// The latest end of the periods that hold at a time.
fn end_of_one(zone: Tz, periods: &[Period], at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let today = at.with_timezone(&zone).date_naive();
    let days = (-2..=1).filter_map(|offset| today.checked_add_signed(TimeDelta::days(offset)));
    let periods = days.flat_map(|day| {
        let begin = periods.iter().filter(move |p| p.begins_on(day.weekday()));
        begin.filter_map(move |period| period.on(day))
    });
    periods
        .filter_map(|(from, to)| Some((moments(zone, from)?.0, moments(zone, to)?.1)))
        .filter(|(from, to)| *from <= at && at < *to)
        .map(|(_, to)| to)
        .max()
}

/// Refuses what is wrong with a zone and periods in it. Gives whether they hold at every minute of a week.
pub(crate) fn check(zone: &str, periods: &[Period], mut refuse: impl FnMut(&str, String)) -> bool {
    if zone.parse::<Tz>().is_err() {
        let problem = "is no IANA time zone such as Europe/Berlin";
        refuse("zone", problem.to_owned());
    }
    if periods.is_empty() || periods.len() > PERIODS_MAX {
        let problem = format!("is to have 1 to {PERIODS_MAX} entries");
        refuse("periods", problem);
        return false;
    }
    let mut holds = vec![false; WEEK_MINUTES];
    for (index, period) in periods.iter().enumerate() {
        for (field, text) in [("from", &period.from), ("to", &period.to)] {
            if time(text).is_none() {
                let field = format!("periods[{index}].{field}");
                refuse(&field, "is no time such as 22:00".to_owned());
            }
        }
        mark(period, &mut holds);
    }
    holds.iter().all(|holds| *holds)
}

/// The minutes of a week in which a period holds.
fn mark(period: &Period, holds: &mut [bool]) {
    // Any week: this day is a Monday.
    let Some(monday) = NaiveDate::from_ymd_opt(2024, 1, 1) else {
        return;
    };
    let begins = monday.iter_days().take(7);
    for day in begins.filter(|day| period.begins_on(day.weekday())) {
        let Some((from, to)) = period.on(day) else {
            return;
        };
        let minute = |at: NaiveDateTime| (at - monday.and_time(NaiveTime::MIN)).num_minutes();
        for minute in minute(from)..minute(to) {
            let place = usize::try_from(minute).unwrap_or(0) % WEEK_MINUTES;
            holds[place] = true;
        }
    }
}
