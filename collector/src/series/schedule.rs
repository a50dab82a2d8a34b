use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

/// When a series is collected: a cron expression of five fields, or six with seconds, and perhaps the time zone that it
/// is in by its IANA name, as in "30 8 * * 1-5 America/New_York"; UTC without one.
///
/// Where the clocks go forward, a time in the hour that is skipped comes at the first moment after it. Where they go
/// back, a time in the hour that is repeated comes once; times that recur within the hour ("*/5") come in both.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
}

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{expression}\" is no cron expression with or without a time zone ({problem}); examples are \
     \"45 13 * * 1-5\" and \"30 8 * * 1-5 America/New_York\""
)]
pub struct ScheduleError {
    /// The text.
    pub expression: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Schedule {
    /// The schedule that suits a frequency as FRED gives it, which may be qualified ("Weekly, Ending
    /// Saturday"). Statistics are mostly released at 8:30 or 10:00 in New York, markets' closing
    /// values in the evening.
    pub fn for_frequency(frequency: &str) -> Self {
        let expression = DEFAULTS
            .iter()
            .find(|(prefix, _)| frequency.starts_with(prefix))
            .map_or(OTHERWISE, |(_, expression)| expression);
        expression
            .parse()
            .unwrap_or_else(|_| unreachable!("a test reads every default"))
    }

    /// The first time after `now`. A schedule that names no time any more gives one in a year.
    pub fn next_after(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let next = self
            .cron
            .find_next_occurrence(&now.with_timezone(&self.zone), false);
        next.map_or(now + TimeDelta::days(365), |next| next.with_timezone(&Utc))
    }
}

/// In the time zone of the releases: in UTC they would come an hour earlier or later for half of the year.
const DEFAULTS: [(&str, &str); 5] = [
    ("Daily", "15 9,17,21 * * * America/New_York"),
    ("Weekly", "45 8,16 * * * America/New_York"),
    ("Biweekly", "45 8,16 * * * America/New_York"),
    ("Monthly", "45 8,10,16 * * * America/New_York"),
    ("Quarterly", "45 8,10,16 * * * America/New_York"),
];
const OTHERWISE: &str = "45 8 * * * America/New_York";

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(expression: &str) -> Result<Self, ScheduleError> {
        let error = |problem: String| ScheduleError {
            expression: expression.chars().take(100).collect(),
            problem,
        };
        let (cron, zone) = match expression.trim().rsplit_once(char::is_whitespace) {
            // No field of a cron expression is the name of a zone.
            Some((cron, last)) if last.parse::<Tz>().is_ok() => (cron, last),
            _ => (expression, Tz::UTC.name()),
        };
        let zone: Tz = zone.parse().map_err(|_| error(format!("no zone {zone}")))?;
        let cron = Cron::from_str(cron).map_err(|cause| error(cause.to_string()))?;
        // Such as the 30th of February: it would be accepted and never come.
        cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false)
            .map_err(|cause| error(cause.to_string()))?;
        Ok(Self { cron, zone })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cron.as_str())?;
        match self.zone {
            Tz::UTC => Ok(()),
            zone => write!(f, " {zone}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_default(frequency: &str, now: &str, next: &str) {
        let found = Schedule::for_frequency(frequency).next_after(now.parse().unwrap());
        assert_eq!(found, next.parse::<DateTime<Utc>>().unwrap(), "{frequency}");
    }

    #[test]
    fn frequencies_are_matched_by_their_beginning() {
        let now = "2024-10-12T14:00:00Z";
        for (frequency, next) in [
            ("Daily, Close", "2024-10-12T21:15:00Z"),
            ("Weekly, Ending Saturday", "2024-10-12T20:45:00Z"),
            ("Biweekly, Beg. of Period", "2024-10-12T20:45:00Z"),
            ("Monthly, End of Month", "2024-10-12T14:45:00Z"),
            ("Quarterly", "2024-10-12T14:45:00Z"),
            ("Semiannual", "2024-10-13T12:45:00Z"),
            ("Annual, Fiscal Year", "2024-10-13T12:45:00Z"),
            ("", "2024-10-13T12:45:00Z"),
        ] {
            check_default(frequency, now, next);
        }
    }

    /// A release at 8:30 in New York is 13:30 UTC in winter and 12:30 in summer.
    #[test]
    fn a_default_comes_a_quarter_of_an_hour_after_the_release_all_year() {
        check_default("Monthly", "2026-01-09T13:30:00Z", "2026-01-09T13:45:00Z");
        check_default("Monthly", "2026-07-02T12:30:00Z", "2026-07-02T12:45:00Z");
    }

    #[test]
    fn every_default_reads() {
        for (frequency, expression) in DEFAULTS {
            assert_eq!(
                Schedule::for_frequency(frequency).to_string(),
                expression.parse::<Schedule>().unwrap().to_string()
            );
        }
        OTHERWISE.parse::<Schedule>().unwrap();
    }

    #[test]
    fn seconds_are_optional_and_nonsense_is_refused() {
        let now = "2024-10-12T14:00:00Z".parse().unwrap();
        let every_five_seconds: Schedule = "*/5 * * * * *".parse().unwrap();
        assert_eq!(
            every_five_seconds.next_after(now),
            now + TimeDelta::seconds(5)
        );
        for nonsense in ["", "daily", "99 * * * *", "* * *", "0 0 30 2 *"] {
            assert!(nonsense.parse::<Schedule>().is_err(), "{nonsense}");
        }
    }

    /// All times of a schedule within a time.
    fn times(schedule: &str, from: &str, to: &str) -> Vec<String> {
        let schedule: Schedule = schedule.parse().unwrap();
        let (mut now, to): (DateTime<Utc>, DateTime<Utc>) =
            (from.parse().unwrap(), to.parse().unwrap());
        let mut times = Vec::new();
        loop {
            now = schedule.next_after(now);
            if now > to {
                return times;
            }
            times.push(now.format("%m-%d %H:%M").to_string());
        }
    }

    /// Typed from the calendar: New York is five hours behind UTC in winter, and four from 2026-03-08 07:00 UTC to
    /// 2026-11-01 06:00 UTC.
    #[test]
    fn a_time_of_day_in_a_zone_stays_where_it_is_when_the_clocks_change() {
        let releases = "30 8 * * 1-5 America/New_York";
        let spring = times(releases, "2026-03-05T14:00:00Z", "2026-03-10T14:00:00Z");
        assert_eq!(spring, ["03-06 13:30", "03-09 12:30", "03-10 12:30"]);
        let autumn = times(releases, "2026-10-29T14:00:00Z", "2026-11-03T14:00:00Z");
        assert_eq!(autumn, ["10-30 12:30", "11-02 13:30", "11-03 13:30"]);
        let london = "0 7 8 * * Europe/London";
        let months = times(london, "2026-03-01T00:00:00Z", "2026-04-30T00:00:00Z");
        assert_eq!(months, ["03-08 07:00", "04-08 06:00"]);
    }

    #[test]
    fn a_skipped_hour_is_not_left_out_and_a_repeated_one_counts_once() {
        let skipped = "30 2 * * * America/New_York";
        let days = times(skipped, "2026-03-07T00:00:00Z", "2026-03-10T00:00:00Z");
        assert_eq!(days, ["03-07 07:30", "03-08 07:00", "03-09 06:30"]);
        let repeated = "30 1 * * * America/New_York";
        let days = times(repeated, "2026-10-31T00:00:00Z", "2026-11-03T00:00:00Z");
        assert_eq!(days, ["10-31 05:30", "11-01 05:30", "11-02 06:30"]);
        // What recurs within the hour goes on in both.
        let recurring = "*/30 1 * * * America/New_York";
        let halves = times(recurring, "2026-11-01T00:00:00Z", "2026-11-01T12:00:00Z");
        let both = ["11-01 05:00", "11-01 05:30", "11-01 06:00", "11-01 06:30"];
        assert_eq!(halves, both);
    }

    #[test]
    fn a_zone_is_shown_and_read_again_and_an_unknown_one_refused() {
        let shown = |text: &str| text.parse::<Schedule>().unwrap().to_string();
        let zoned = "30 8 * * 1-5 America/New_York";
        assert_eq!(shown(zoned), zoned);
        assert_eq!(shown("30 8 * * 1-5 UTC"), "30 8 * * 1-5");
        for unknown in ["America/Nowhere", "America/new_york", "+05:00"] {
            let text = format!("30 8 * * 1-5 {unknown}");
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
