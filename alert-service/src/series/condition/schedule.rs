use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

use super::{compile::Problems, definition::Times, nearest::nearest};

/// At most so many characters of a cron expression.
const CRON_CHARS_MAX: usize = 200;

/// Times of a clock in a zone.
///
/// Where the clocks go forward, a time in the hour that is skipped comes at the first moment after it. Where they go
/// back, a time in the hour that is repeated comes once; times that recur within the hour come in both.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    cron: Cron,
    zone: Tz,
}

impl Schedule {
    /// Reads times; what is wrong with them is added to `problems`.
    pub(crate) fn of(times: &Times, place: &str, problems: &mut Problems) -> Option<Self> {
        let mut refuse = |field: &str, problem: String| {
            problems.push((format!("{place}{field}"), problem));
        };
        let zone = times.zone.as_deref().unwrap_or("UTC");
        let zone = zone.parse::<Tz>().map_err(|_| {
            let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let meant = nearest(zone, names);
            refuse(
                "zone",
                format!(
                    "there is no zone {:?}{meant}",
                    atlas_events::clip(zone, 100)
                ),
            );
        });
        if times.cron.chars().count() > CRON_CHARS_MAX {
            refuse("cron", format!("has more than {CRON_CHARS_MAX} characters"));
            return None;
        }
        let cron = Cron::from_str(&times.cron);
        // Such as the 30th of February: it would be accepted and never come.
        let cron = cron.and_then(|cron| {
            let found = cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false);
            found.map(|_| cron)
        });
        let cron = cron.map_err(|error| {
            refuse(
                "cron",
                format!("is no cron expression such as \"30 8 * * 1-5\": {error}"),
            );
        });
        Some(Self {
            cron: cron.ok()?,
            zone: zone.ok()?,
        })
    }

    /// The first time after `at`; of a schedule that names no time any more a century later.
    pub(crate) fn next_after(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let next = self
            .cron
            .find_next_occurrence(&at.with_timezone(&self.zone), false);
        next.map_or(at + TimeDelta::days(36_500), |next| {
            next.with_timezone(&Utc)
        })
    }

    /// The last time after `after` that is not later than `until`.
    pub(crate) fn last_between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let mut last = None;
        let mut next = self.next_after(after);
        while next <= until {
            last = Some(next);
            next = self.next_after(next);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(cron: &str, zone: &str) -> Times {
        Times {
            cron: cron.to_owned(),
            zone: Some(zone.to_owned()),
        }
    }

    fn between(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
        let (mut at, to): (DateTime<Utc>, DateTime<Utc>) =
            (from.parse().unwrap(), to.parse().unwrap());
        let mut found = Vec::new();
        loop {
            at = schedule.next_after(at);
            if at > to {
                return found;
            }
            found.push(at.format("%m-%d %H:%M").to_string());
        }
    }

    /// Typed from the calendar: Zurich skips 2026-03-29 01:00 UTC (02:00 local) and repeats the hour of 2026-10-25 02:00
    /// local, from 00:00 UTC on.
    #[test]
    fn a_time_in_the_hour_that_is_skipped_or_repeated_comes_once() {
        let mut problems = Problems::new();
        let daily = Schedule::of(&times("30 2 * * *", "Europe/Zurich"), "", &mut problems).unwrap();
        assert!(problems.is_empty());
        let spring = between(&daily, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(spring, ["03-28 01:30", "03-29 01:00", "03-30 00:30"]);
        let autumn = between(&daily, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(autumn, ["10-25 00:30", "10-26 01:30"]);
    }

    #[test]
    fn bad_zones_and_times_that_never_come_are_refused_with_what_was_meant() {
        let refused = |cron: &str, zone: &str| {
            let mut problems = Problems::new();
            let _ = Schedule::of(&times(cron, zone), "condition.", &mut problems);
            problems
        };
        let zone = refused("0 9 * * *", "Europe/Zurch");
        assert_eq!(zone[0].0, "condition.zone");
        assert!(
            zone[0].1.ends_with("did you mean Europe/Zurich?"),
            "{zone:?}"
        );
        for cron in ["", "daily", "99 * * * *", "0 0 30 2 *"] {
            assert_eq!(refused(cron, "UTC")[0].0, "condition.cron", "{cron}");
        }
    }
}
