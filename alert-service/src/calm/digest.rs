use chrono::{DateTime, Days, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    clock::{moments, time},
    problems::Problems,
};

/// One message each hour or day in place of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Digest {
    every: Every,
    /// IANA name of the time zone.
    #[schema(example = "Europe/Berlin")]
    zone: String,
    /// Of a daily one: when it is sent; at midnight if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "08:00")]
    at: Option<String>,
}

/// How often a digest is sent, where there is anything to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Every {
    /// At each full hour of the zone.
    Hour,
    /// At a time of the day.
    Day,
}

impl Digest {
    /// When the next one is sent, after a time.
    ///
    /// Where the clocks change a full hour that comes twice counts twice, a time of the day once, at its first. One
    /// that is skipped is the first moment after the gap.
    pub(crate) fn next_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let zone: Tz = self.zone.parse().ok()?;
        let local = at.with_timezone(&zone).naive_local();
        match self.every {
            Every::Hour => {
                let hour = local.date().and_hms_opt(local.hour(), 0, 0)?;
                let hours = (0..=2).map(|more| hour + TimeDelta::hours(more));
                hours
                    .filter_map(|hour| moments(zone, hour))
                    .flat_map(|(first, last)| [first, last])
                    .filter(|next| *next > at)
                    .min()
            }
            Every::Day => {
                let time = self.at.as_deref().map_or(Some(Default::default()), time)?;
                let days =
                    (0..=2).filter_map(|more| local.date().checked_add_days(Days::new(more)));
                days.filter_map(|day| moments(zone, day.and_time(time)))
                    .map(|(first, _)| first)
                    .find(|next| *next > at)
            }
        }
    }

    pub(super) fn check(&self, field: &str, problems: &mut Problems) {
        if self.zone.parse::<Tz>().is_err() {
            let problem = "is no IANA time zone such as Europe/Berlin";
            problems.refuse(&format!("{field}.zone"), problem);
        }
        let problem = match (self.every, self.at.as_deref()) {
            (_, None) => return,
            (Every::Hour, Some(_)) => "is for daily digests only",
            (Every::Day, Some(text)) if time(text).is_none() => "is no time such as 08:00",
            (Every::Day, Some(_)) => return,
        };
        problems.refuse(&format!("{field}.at"), problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, after: &str, next: &str) {
        let digest: Digest = serde_json::from_str(json).unwrap();
        let next: DateTime<Utc> = next.parse().unwrap();
        assert_eq!(
            digest.next_after(after.parse().unwrap()),
            Some(next),
            "{after}"
        );
    }

    #[test]
    fn a_digest_comes_at_its_hour_or_time_of_the_day() {
        let hourly = r#"{"every":"hour","zone":"Asia/Kolkata"}"#;
        // Half an hour off the hours of UTC.
        check(hourly, "2026-01-14T10:00:00Z", "2026-01-14T10:30:00Z");
        check(hourly, "2026-01-14T10:30:00Z", "2026-01-14T11:30:00Z");
        let daily = r#"{"every":"day","zone":"Europe/Berlin","at":"08:00"}"#;
        check(daily, "2026-01-14T06:59:59Z", "2026-01-14T07:00:00Z");
        check(daily, "2026-01-14T07:00:00Z", "2026-01-15T07:00:00Z");
        check(daily, "2026-07-14T06:00:00Z", "2026-07-15T06:00:00Z");
        let midnight = r#"{"every":"day","zone":"UTC"}"#;
        check(midnight, "2026-01-14T00:00:00Z", "2026-01-15T00:00:00Z");
    }

    /// New York: clocks go forward at 2:00 on 2026-03-08 (7:00 UTC), back at 2:00 on 2026-11-01 (6:00 UTC).
    #[test]
    fn a_digest_is_right_where_the_clocks_change() {
        let hourly = r#"{"every":"hour","zone":"America/New_York"}"#;
        check(hourly, "2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z");
        check(hourly, "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z");
        check(hourly, "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z");
        check(hourly, "2026-11-01T06:00:00Z", "2026-11-01T07:00:00Z");
        let daily = r#"{"every":"day","zone":"America/New_York","at":"02:30"}"#;
        check(daily, "2026-03-07T12:00:00Z", "2026-03-08T07:00:00Z");
        check(daily, "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z");
        let twice = r#"{"every":"day","zone":"America/New_York","at":"01:30"}"#;
        check(twice, "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z");
        check(twice, "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z");
    }
}
