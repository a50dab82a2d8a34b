use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    hours::{self, Period},
    problems::Problems,
};

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

impl QuietHours {
    /// When the quiet hours end that a time is in; `None` if it is in none. Those that follow without a pause count
    /// as one.
    pub(crate) fn until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        hours::until(&self.zone, &self.periods, at)
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let is_always = hours::check(&self.zone, &self.periods, |field, problem| {
            problems.refuse(&format!("quiet_hours.{field}"), problem);
        });
        if is_always {
            let problem = "leave no minute of the week in which anything is sent; disable the channels instead";
            problems.refuse("quiet_hours.periods", problem);
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
