//! Times as people write them.

use atlas_events::Timestamp;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// Reads RFC 3339, a date (midnight UTC), or how long ago.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_at(text, Utc::now()).map(Timestamp::from)
}

fn parse_at(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    humantime::parse_duration(text)
        .ok()
        .and_then(|ago| now.checked_sub_signed(chrono::TimeDelta::from_std(ago).ok()?))
        .ok_or_else(|| {
            "is neither RFC 3339 (2024-05-01T12:00:00Z), nor a date, nor how long ago (2h)".into()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dates_and_ages_are_understood() {
        let now = "2026-03-01T00:30:00Z".parse().unwrap();
        for (text, expected) in [
            ("2024-05-01T12:00:00+02:00", "2024-05-01T10:00:00Z"),
            ("2024-05-01", "2024-05-01T00:00:00Z"),
            ("1h", "2026-02-28T23:30:00Z"),
            ("7d", "2026-02-22T00:30:00Z"),
        ] {
            assert_eq!(parse_at(text, now), Ok(expected.parse().unwrap()), "{text}");
        }
        for refused in ["", "yesterday", "2024-13-01", "99999999999999999999y"] {
            assert!(parse_at(refused, now).is_err(), "{refused}");
        }
    }
}
