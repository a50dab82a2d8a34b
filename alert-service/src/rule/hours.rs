//! Hours in which a rule notifies.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::calm::{Period, check_hours, is_within};

/// When a rule notifies, by the clock of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActiveHours {
    /// IANA name of the time zone.
    #[schema(example = "America/New_York")]
    zone: String,
    /// 1 to 20.
    periods: Vec<Period>,
}

impl ActiveHours {
    /// Whether a time is within them.
    pub(crate) fn hold(&self, at: DateTime<Utc>) -> bool {
        is_within(&self.zone, &self.periods, at)
    }

    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        check_hours(&self.zone, &self.periods, |field, problem| {
            problems.push((format!("active_hours.{field}"), problem));
        });
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(json: &str) -> ActiveHours {
        serde_json::from_str(json).unwrap()
    }

    /// Typed from the calendar: New York is at UTC-5 until 2026-03-08 and at UTC-4 until 2026-11-01.
    #[test]
    fn they_are_by_the_clock_of_the_zone_on_both_sides_of_a_change() {
        let hours = hours(
            r#"{"zone":"America/New_York","periods":[
                {"days":["mon","tue","wed","thu","fri"],"from":"09:30","to":"16:00"}]}"#,
        );
        assert!(hours.problems().is_empty());
        for (at, holds) in [
            ("2026-03-06T14:29:59Z", false),
            ("2026-03-06T14:30:00Z", true),
            ("2026-03-06T20:59:59Z", true),
            ("2026-03-06T21:00:00Z", false),
            ("2026-03-07T15:00:00Z", false),
            ("2026-03-09T13:29:59Z", false),
            ("2026-03-09T13:30:00Z", true),
            ("2026-03-09T20:00:00Z", false),
            ("2026-10-30T13:30:00Z", true),
            ("2026-11-02T13:30:00Z", false),
            ("2026-11-02T14:30:00Z", true),
        ] {
            assert_eq!(hours.hold(at.parse().unwrap()), holds, "{at}");
        }
        // Over midnight, and the night on which the clock is put forward.
        let night =
            r#"{"zone":"Europe/Zurich","periods":[{"days":["sat"],"from":"22:00","to":"02:30"}]}"#;
        let night: ActiveHours = serde_json::from_str(night).unwrap();
        for (at, holds) in [
            ("2026-03-28T20:59:00Z", false),
            ("2026-03-28T21:00:00Z", true),
            ("2026-03-29T00:59:00Z", true),
            ("2026-03-29T01:00:00Z", false),
            ("2026-03-29T21:30:00Z", false),
        ] {
            assert_eq!(night.hold(at.parse().unwrap()), holds, "{at}");
        }
    }

    #[test]
    fn what_is_no_time_of_a_week_is_refused_with_its_place() {
        for (json, field) in [
            (
                r#"{"zone":"Mars","periods":[{"from":"09:00","to":"10:00"}]}"#,
                "active_hours.zone",
            ),
            (r#"{"zone":"UTC","periods":[]}"#, "active_hours.periods"),
            (
                r#"{"zone":"UTC","periods":[{"from":"09:00","to":"25:00"}]}"#,
                "active_hours.periods[0].to",
            ),
        ] {
            assert_eq!(hours(json).problems()[0].0, field, "{json}");
        }
    }
}
