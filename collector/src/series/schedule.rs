use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use croner::Cron;

/// When a series is collected: a cron expression in UTC, of five fields, or six with seconds.
#[derive(Debug, Clone)]
pub struct Schedule(Cron);

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{expression}\" is no cron expression ({problem}); an example is \"45 13 * * 1-5\"")]
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
        self.0
            .find_next_occurrence(&now, false)
            .unwrap_or(now + TimeDelta::days(365))
    }
}

const DEFAULTS: [(&str, &str); 5] = [
    ("Daily", "15 2,14,22 * * *"),
    ("Weekly", "45 13,21 * * *"),
    ("Biweekly", "45 13,21 * * *"),
    ("Monthly", "45 13,15,21 * * *"),
    ("Quarterly", "45 13,15,21 * * *"),
];
const OTHERWISE: &str = "45 13 * * *";

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(expression: &str) -> Result<Self, ScheduleError> {
        let error = |problem: String| ScheduleError {
            expression: expression.chars().take(100).collect(),
            problem,
        };
        let cron = Cron::from_str(expression).map_err(|cause| error(cause.to_string()))?;
        // Such as the 30th of February: it would be accepted and never come.
        cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false)
            .map_err(|cause| error(cause.to_string()))?;
        Ok(Self(cron))
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_default(frequency: &str, next: &str) {
        let now = "2024-10-12T14:00:00Z".parse().unwrap();
        let found = Schedule::for_frequency(frequency).next_after(now);
        assert_eq!(found, next.parse::<DateTime<Utc>>().unwrap(), "{frequency}");
    }

    #[test]
    fn frequencies_are_matched_by_their_beginning() {
        check_default("Daily, Close", "2024-10-12T14:15:00Z");
        check_default("Weekly, Ending Saturday", "2024-10-12T21:45:00Z");
        check_default("Biweekly, Beg. of Period", "2024-10-12T21:45:00Z");
        check_default("Monthly, End of Month", "2024-10-12T15:45:00Z");
        check_default("Quarterly", "2024-10-12T15:45:00Z");
        check_default("Semiannual", "2024-10-13T13:45:00Z");
        check_default("Annual, Fiscal Year", "2024-10-13T13:45:00Z");
        check_default("", "2024-10-13T13:45:00Z");
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
}
