use chrono_tz::Tz;
use evaluation::did_you_mean;
use schedule::Schedule;

use super::{compile::Problems, definition::Times};

/// Reads times; what is wrong with them is added to `problems`.
pub(crate) fn read_times(times: &Times, place: &str, problems: &mut Problems) -> Option<Schedule> {
    let mut refuse = |field: &str, problem: String| {
        problems.push((format!("{place}{field}"), problem));
    };
    let name = times.zone.as_deref().unwrap_or("UTC");
    let zone = name.parse::<Tz>().ok();
    if zone.is_none() {
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let meant = did_you_mean(name, names);
        let name = atlas_events::clip(name, 100);
        refuse("zone", format!("there is no zone {name:?}{meant}"));
    }
    Schedule::new(&times.cron, zone.unwrap_or(Tz::UTC))
        .map_err(|error| {
            let problem = format!("is no cron expression such as \"30 8 * * 1-5\": {error}");
            refuse("cron", problem);
        })
        .ok()
        .filter(|_| zone.is_some())
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

    #[test]
    fn bad_zones_and_times_that_never_come_are_refused_with_what_was_meant() {
        let refused = |cron: &str, zone: &str| {
            let mut problems = Problems::new();
            let _ = read_times(&times(cron, zone), "condition.", &mut problems);
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
