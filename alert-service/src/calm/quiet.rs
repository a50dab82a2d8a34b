use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    clock::{moments, time},
    problems::Problems,
};

const PERIODS_MAX: usize = 20;
const WEEK_MINUTES: usize = 7 * 24 * 60;
/// Of periods that follow each other within a week.
const STEPS_MAX: usize = 2 * 7 * PERIODS_MAX;

/// When nothing but what is critical is to arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuietHours {
    /// IANA name of the time zone.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    /// 1 to 20.
    periods: Vec<Period>,
    #[serde(default)]
    pub(crate) choice: Choice,
}

/// What becomes of messages in quiet hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// They are sent when the quiet hours end.
    #[default]
    Wait,
    /// Messages of beginnings are not sent.
    Drop,
}

/// A time of the day, on some days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Period {
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
enum Day {
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

impl QuietHours {
    /// When the quiet hours end that a time is in; `None` if it is in none. Those that follow without a pause count
    /// as one.
    ///
    /// Where the clocks are put back, a time that comes twice begins quiet hours at its first and ends them at its
    /// second; where they are put forward, one that is skipped is the first moment after the gap.
    pub(crate) fn until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let zone: Tz = self.zone.parse().ok()?;
        let mut until = None;
        for _ in 0..STEPS_MAX {
            match self.end_of_one(zone, until.unwrap_or(at)) {
                Some(end) => until = Some(end),
                None => break,
            }
        }
        until
    }

    /// The latest end of the periods that hold at a time.
    fn end_of_one(&self, zone: Tz, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = at.with_timezone(&zone).date_naive();
        let days = (-2..=1).filter_map(|offset| today.checked_add_signed(TimeDelta::days(offset)));
        let periods = days.flat_map(|day| {
            let begin = self
                .periods
                .iter()
                .filter(move |p| p.begins_on(day.weekday()));
            begin.filter_map(move |period| period.on(day))
        });
        periods
            .filter_map(|(from, to)| Some((moments(zone, from)?.0, moments(zone, to)?.1)))
            .filter(|(from, to)| *from <= at && at < *to)
            .map(|(_, to)| to)
            .max()
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if self.zone.parse::<Tz>().is_err() {
            problems.refuse(
                "quiet_hours.zone",
                "is no IANA time zone such as Europe/Berlin",
            );
        }
        if self.periods.is_empty() || self.periods.len() > PERIODS_MAX {
            let problem = format!("is to have 1 to {PERIODS_MAX} entries");
            problems.refuse("quiet_hours.periods", problem);
            return;
        }
        let mut is_quiet = vec![false; WEEK_MINUTES];
        for (index, period) in self.periods.iter().enumerate() {
            for (field, text) in [("from", &period.from), ("to", &period.to)] {
                if time(text).is_none() {
                    let field = format!("quiet_hours.periods[{index}].{field}");
                    problems.refuse(&field, "is no time such as 22:00");
                }
            }
            mark(period, &mut is_quiet);
        }
        if is_quiet.iter().all(|is_quiet| *is_quiet) {
            let problem = "leave no minute of the week in which anything is sent; disable the channels instead";
            problems.refuse("quiet_hours.periods", problem);
        }
    }
}

/// The minutes of a week in which a period holds.
fn mark(period: &Period, is_quiet: &mut [bool]) {
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
            is_quiet[place] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(zone: &str, periods: &str) -> QuietHours {
        let json = format!(r#"{{"zone":"{zone}","periods":{periods}}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[track_caller]
    fn check(quiet: &QuietHours, at: &str, until: Option<&str>) {
        let until = until.map(|until| until.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(quiet.until(at.parse().unwrap()), until, "{at}");
    }

    #[test]
    fn a_night_lasts_until_its_morning() {
        // Winter in Berlin: one hour ahead of UTC.
        let night = quiet("Europe/Berlin", r#"[{"from":"22:00","to":"07:00"}]"#);
        check(&night, "2026-01-14T20:59:59Z", None);
        check(&night, "2026-01-14T21:00:00Z", Some("2026-01-15T06:00:00Z"));
        check(&night, "2026-01-15T05:59:59Z", Some("2026-01-15T06:00:00Z"));
        check(&night, "2026-01-15T06:00:00Z", None);
    }

    #[test]
    fn days_are_those_on_which_a_period_begins_and_periods_that_meet_are_one() {
        // 2026-01-16 is a Friday.
        let weekend = quiet(
            "UTC",
            r#"[{"days":["fri"],"from":"18:00","to":"00:00"},{"days":["sat","sun"],"from":"00:00","to":"00:00"}]"#,
        );
        check(&weekend, "2026-01-16T17:59:00Z", None);
        check(
            &weekend,
            "2026-01-16T18:00:00Z",
            Some("2026-01-19T00:00:00Z"),
        );
        check(
            &weekend,
            "2026-01-18T23:59:00Z",
            Some("2026-01-19T00:00:00Z"),
        );
        check(&weekend, "2026-01-19T00:00:00Z", None);
        check(&weekend, "2026-01-15T19:00:00Z", None);
        let late = quiet("UTC", r#"[{"days":["sun"],"from":"23:00","to":"01:00"}]"#);
        check(&late, "2026-01-19T00:30:00Z", Some("2026-01-19T01:00:00Z"));
        check(&late, "2026-01-18T00:30:00Z", None);
    }

    /// New York: clocks go forward at 2:00 on 2026-03-08 (7:00 UTC), back at 2:00 on 2026-11-01 (6:00 UTC).
    #[test]
    fn quiet_hours_are_right_where_the_clocks_change() {
        let night = quiet("America/New_York", r#"[{"from":"22:00","to":"07:00"}]"#);
        check(&night, "2026-03-07T12:00:00Z", None);
        check(&night, "2026-03-08T03:00:00Z", Some("2026-03-08T11:00:00Z"));
        check(&night, "2026-03-08T11:00:00Z", None);
        check(&night, "2026-11-01T02:00:00Z", Some("2026-11-01T12:00:00Z"));
        check(&night, "2026-11-01T12:00:00Z", None);
        // Ends at a time that is skipped: the moment after the gap.
        let skipped = quiet("America/New_York", r#"[{"from":"01:00","to":"02:30"}]"#);
        check(
            &skipped,
            "2026-03-08T06:10:00Z",
            Some("2026-03-08T07:00:00Z"),
        );
        check(&skipped, "2026-03-08T07:00:00Z", None);
        // Ends, and begins, at a time that comes twice.
        let ends = quiet("America/New_York", r#"[{"from":"00:30","to":"01:30"}]"#);
        check(&ends, "2026-11-01T05:45:00Z", Some("2026-11-01T06:30:00Z"));
        check(&ends, "2026-11-01T06:30:00Z", None);
        let begins = quiet("America/New_York", r#"[{"from":"01:30","to":"03:00"}]"#);
        check(&begins, "2026-11-01T05:29:00Z", None);
        check(
            &begins,
            "2026-11-01T05:30:00Z",
            Some("2026-11-01T08:00:00Z"),
        );
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let problems = |quiet: QuietHours| {
            let mut problems = Problems::default();
            quiet.check(&mut problems);
            problems.into_fields()
        };
        assert!(problems(quiet("UTC", r#"[{"from":"22:00","to":"07:00"}]"#)).is_empty());
        let found = problems(quiet("Europe/Atlantis", r#"[{"from":"25:00","to":"7"}]"#));
        let expected = [
            "quiet_hours.zone",
            "quiet_hours.periods[0].from",
            "quiet_hours.periods[0].to",
        ];
        assert_eq!(found, expected);
        let always = quiet(
            "UTC",
            r#"[{"from":"08:00","to":"20:00"},{"from":"20:00","to":"08:00"}]"#,
        );
        assert_eq!(problems(always), ["quiet_hours.periods"]);
        assert_eq!(problems(quiet("UTC", "[]")), ["quiet_hours.periods"]);
    }
}
