//! When something recurs: a cron expression on the clock of a time zone, right on the days when the clocks change.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

/// At most so many characters of a cron expression.
const CRON_CHARS_MAX: usize = 200;

/// A cron expression of five fields, or six with seconds, and the time zone that it is in. As a text the zone follows the
/// fields by its IANA name, as in "30 8 * * 1-5 America/New_York"; UTC without one.
///
/// Where the clocks go forward, a time in the hour that is skipped comes at the first moment after it. Where they go
/// back, a time in the hour that is repeated comes once; times that recur within the hour ("*/5") come in both.
#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Cron,
    zone: Tz,
}

/// A text that is no cron expression, or one of a time that never comes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It is too long.
    #[error("it has more than {CRON_CHARS_MAX} characters")]
    TooLong,
    /// It does not parse, or names a time such as the 30th of February.
    #[error("{0}")]
    Invalid(String),
}

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{expression}\" is no cron expression with or without a time zone ({problem}); examples are \
     \"45 13 * * 1-5\" and \"30 8 * * 1-5 America/New_York\""
)]
pub struct ScheduleError {
    /// The beginning of the text.
    pub expression: String,
    /// What is wrong with it.
    pub problem: CronError,
}

impl Schedule {
    /// The times of `cron` on the clock of `zone`.
    pub fn new(cron: &str, zone: Tz) -> Result<Self, CronError> {
        if cron.chars().count() > CRON_CHARS_MAX {
            return Err(CronError::TooLong);
        }
        let invalid = |cause: croner::errors::CronError| CronError::Invalid(cause.to_string());
        let cron = Cron::from_str(cron).map_err(invalid)?;
        // Such as the 30th of February: it would be accepted and never come.
        cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false)
            .map_err(invalid)?;
        Ok(Self { cron, zone })
    }

    /// The first time after `at`; a century later if none can be found.
    pub fn next_after(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let local = at.with_timezone(&self.zone);
        let next = self.cron.find_next_occurrence(&local, false);
        next.map_or(at + TimeDelta::days(36_500), |next| {
            next.with_timezone(&Utc)
        })
    }

    /// The last time after `after` that is not later than `until`.
    pub fn last_between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let next = |at: &DateTime<Utc>| Some(self.next_after(*at)).filter(|next| *next <= until);
        std::iter::successors(next(&after), next).last()
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(expression: &str) -> Result<Self, ScheduleError> {
        let zoned = expression.trim().rsplit_once(char::is_whitespace);
        // No field of a cron expression is the name of a zone.
        let zoned = zoned.and_then(|(cron, last)| Some((cron, last.parse::<Tz>().ok()?)));
        let (cron, zone) = zoned.unwrap_or((expression, Tz::UTC));
        Self::new(cron, zone).map_err(|problem| ScheduleError {
            expression: expression.chars().take(100).collect(),
            problem,
        })
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

    /// Typed from the calendar: Zurich skips 2026-03-29 01:00 UTC (02:00 local) and repeats the hour of 2026-10-25 02:00
    /// local, from 00:00 UTC on.
    #[test]
    fn zones_that_change_at_other_times_do_the_same() {
        let daily = "30 2 * * * Europe/Zurich";
        let spring = times(daily, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(spring, ["03-28 01:30", "03-29 01:00", "03-30 00:30"]);
        let autumn = times(daily, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(autumn, ["10-25 00:30", "10-26 01:30"]);
    }

    #[test]
    fn of_the_times_between_two_the_last_is_found() {
        let schedule: Schedule = "*/10 * * * *".parse().unwrap();
        let at = |time: &str| {
            format!("2026-01-05T{time}Z")
                .parse::<DateTime<Utc>>()
                .unwrap()
        };
        let last = |after, until| schedule.last_between(at(after), at(until));
        assert_eq!(last("10:05:00", "10:35:00"), Some(at("10:30:00")));
        assert_eq!(last("10:05:00", "10:10:00"), Some(at("10:10:00")));
        assert_eq!(last("10:00:00", "10:09:59"), None);
    }

    #[test]
    fn a_long_expression_is_refused_with_the_bound() {
        let refused = format!("{}1 * * * *", "1,".repeat(100)).parse::<Schedule>();
        let refused = refused.unwrap_err();
        assert_eq!(refused.problem, CronError::TooLong);
        assert!(
            refused
                .to_string()
                .contains("(it has more than 200 characters)")
        );
    }
}
