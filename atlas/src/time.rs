//! Times as people write them.

use atlas_events::Timestamp;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// Reads RFC 3339, a date (midnight UTC), or how long ago.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_at(text, Utc::now()).map(Timestamp::from)
}

/// Reads RFC 3339, or a date (midnight UTC).
pub(crate) fn parse_moment(text: &str) -> Result<DateTime<Utc>, String> {
    written(text).ok_or_else(|| "is neither RFC 3339 (2024-05-01T12:00:00Z) nor a date".into())
}

fn written(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let date = text.parse::<NaiveDate>().ok()?;
    Some(date.and_time(NaiveTime::MIN).and_utc())
}

fn parse_at(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Some(time) = written(text) {
        return Ok(time);
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
        assert!(parse_moment("1h").is_err());
        let written = parse_moment("2024-05-01").map(|time| time.to_rfc3339());
        assert_eq!(written.as_deref(), Ok("2024-05-01T00:00:00+00:00"));
        for refused in ["", "yesterday", "2024-13-01", "99999999999999999999y"] {
            assert!(parse_at(refused, now).is_err(), "{refused}");
        }
    }
}
