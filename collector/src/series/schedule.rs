use schedule::Schedule;

/// In the time zone of the releases: in UTC they would come an hour earlier or later for half of the year.
const DEFAULTS: [(&str, &str); 5] = [
    ("Daily", "15 9,17,21 * * * America/New_York"),
    ("Weekly", "45 8,16 * * * America/New_York"),
    ("Biweekly", "45 8,16 * * * America/New_York"),
    ("Monthly", "45 8,10,16 * * * America/New_York"),
    ("Quarterly", "45 8,10,16 * * * America/New_York"),
];
const OTHERWISE: &str = "45 8 * * * America/New_York";

/// The schedule that suits a frequency as FRED gives it, which may be qualified ("Weekly, Ending
/// Saturday"). Statistics are mostly released at 8:30 or 10:00 in New York, markets' closing
/// values in the evening.
pub fn default_schedule(frequency: &str) -> Schedule {
    let expression = DEFAULTS
        .iter()
        .find(|(prefix, _)| frequency.starts_with(prefix))
        .map_or(OTHERWISE, |(_, expression)| expression);
    expression
        .parse()
        .unwrap_or_else(|_| unreachable!("a test reads every default"))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    #[track_caller]
    fn check_default(frequency: &str, now: &str, next: &str) {
        let found = default_schedule(frequency).next_after(now.parse().unwrap());
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
                default_schedule(frequency).to_string(),
                expression.parse::<Schedule>().unwrap().to_string()
            );
        }
        OTHERWISE.parse::<Schedule>().unwrap();
    }
}
