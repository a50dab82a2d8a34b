//! When a series is collected next.

use chrono::{DateTime, TimeDelta, Utc};
use schedule::Schedule;

/// The first pause of a series that waits for news.
const FIRST_PAUSE: TimeDelta = TimeDelta::minutes(1);

/// When a series that has no news yet is collected next.
///
/// A release comes when it comes: up to `news_wait` after a time of the schedule the series is asked again, each pause
/// as long as the time that has passed since, so after 1, 2, 4, 8, … minutes. A schedule that comes again within that
/// time repeats itself and is followed as it is.
pub(super) fn without_news(
    schedule: &Schedule,
    now: DateTime<Utc>,
    news_wait: TimeDelta,
) -> DateTime<Utc> {
    let due = schedule.next_after(now - news_wait);
    if due > now {
        return due;
    }
    let last = due + news_wait;
    let next = schedule.next_after(due);
    if next <= last {
        return schedule.next_after(now);
    }
    (now + (now - due).max(FIRST_PAUSE)).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        format!("{time}:00Z").parse().unwrap()
    }

    /// The times at which a series without news is asked from `now` on, each answer `seconds` after the question.
    fn asked(schedule: &str, minutes: i64, seconds: i64, mut now: DateTime<Utc>) -> Vec<String> {
        let schedule: Schedule = schedule.parse().unwrap();
        let wait = TimeDelta::minutes(minutes);
        let mut times = Vec::new();
        for _ in 0..9 {
            now = without_news(&schedule, now + TimeDelta::seconds(seconds), wait);
            times.push(now.format("%d %H:%M:%S").to_string());
        }
        times
    }

    #[test]
    fn pauses_double_until_the_wait_is_over_and_then_the_schedule_counts() {
        let release = "30 8 * * 1-5 America/New_York";
        assert_eq!(
            asked(release, 60, 0, at("2026-01-09T13:30")),
            [
                "09 13:31:00",
                "09 13:32:00",
                "09 13:34:00",
                "09 13:38:00",
                "09 13:46:00",
                "09 14:02:00",
                "09 14:30:00",
                "12 13:30:00",
                "12 13:31:00",
            ]
        );
        // Answers that take half a minute, in summer, and the clocks do not matter on the day when they change.
        assert_eq!(
            asked(release, 10, 30, at("2026-07-02T12:30"))[..5],
            [
                "02 12:31:30",
                "02 12:34:00",
                "02 12:39:00",
                "02 12:40:00",
                "03 12:30:00",
            ]
        );
        let nightly = "30 1 * * * America/New_York";
        assert_eq!(
            asked(nightly, 2, 0, at("2026-11-01T05:30"))[..3],
            ["01 05:31:00", "01 05:32:00", "02 06:30:00",]
        );
    }

    #[test]
    fn a_collector_that_comes_late_asks_for_what_is_left_of_the_wait() {
        let release = "30 8 * * 1-5 America/New_York";
        assert_eq!(
            asked(release, 60, 0, at("2026-01-09T13:50"))[..3],
            ["09 14:10:00", "09 14:30:00", "12 13:30:00",]
        );
        assert_eq!(
            asked(release, 60, 0, at("2026-01-09T14:30"))[0],
            "12 13:30:00"
        );
    }

    #[test]
    fn without_a_wait_and_with_a_schedule_that_repeats_itself_only_the_schedule_counts() {
        let release = "30 8 * * 1-5 America/New_York";
        assert_eq!(
            asked(release, 0, 0, at("2026-01-09T13:30"))[0],
            "12 13:30:00"
        );
        for often in [
            "*/5 * * * *",
            "30-45 8 * * 1-5",
            "*/5 * * * * *",
            "30 8,9 * * *",
        ] {
            let schedule: Schedule = often.parse().unwrap();
            for now in [
                at("2026-01-09T08:30"),
                at("2026-01-09T08:43"),
                at("2026-01-09T08:44"),
            ] {
                let next = without_news(&schedule, now, TimeDelta::minutes(60));
                assert_eq!(next, schedule.next_after(now), "{often}");
            }
        }
    }
}
