//! Requests to read, checked and turned into what the log understands.

use std::time::Duration;

use atlas_events::{SubscriptionRequest, TimeRangeRequest, Timestamp, Violation, WantedEvents};
use chrono::{DateTime, Utc};

use crate::heartbeat;

const CONSUMER_CHARS_MAX: usize = 100;
const LOG_ID_BYTES_MAX: usize = 100;

/// Where a subscription starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// After a position.
    After(u64),
    /// At the first event of a time.
    Since(DateTime<Utc>),
    /// With what is stored from now on.
    Live,
}

/// A subscription that was asked for.
#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) start: Start,
    pub(crate) filter: WantedEvents,
    /// Empty if not to be checked.
    pub(crate) log_id: String,
    /// Empty if it has no name.
    pub(crate) consumer: String,
    /// `None`: no markers.
    pub(crate) heartbeat_interval: Option<Duration>,
}

impl TryFrom<SubscriptionRequest> for Subscribe {
    type Error = Violation;

    fn try_from(request: SubscriptionRequest) -> Result<Self, Violation> {
        let start = match (request.after_position, request.start_from) {
            (Some(_), Some(_)) => {
                let problem = "excludes after_position; give one of the two";
                return Err(Violation::new("start_from", problem));
            }
            (Some(after), None) => Start::After(after),
            (None, Some(since)) => Start::Since(time("start_from", since)?),
            (None, None) => Start::Live,
        };
        check_consumer(&request.consumer)?;
        if request.log_id.len() > LOG_ID_BYTES_MAX {
            return Err(Violation::new("log_id", "is not the id of a log, a UUID"));
        }
        Ok(Self {
            start,
            filter: WantedEvents::new(request.event_types, request.series_ids)?,
            log_id: request.log_id,
            consumer: request.consumer,
            heartbeat_interval: request
                .heartbeat_interval
                .map(heartbeat::interval)
                .transpose()?,
        })
    }
}

/// A name becomes a label of metrics and is read by people.
fn check_consumer(name: &str) -> Result<(), Violation> {
    if name.chars().count() > CONSUMER_CHARS_MAX {
        let problem = format!("has more than {CONSUMER_CHARS_MAX} characters");
        return Err(Violation::new("consumer", problem));
    }
    let punctuation = |c: char| (' '..='~').contains(&c) && !matches!(c, '"' | '\\');
    if !name.chars().all(|c| c.is_alphanumeric() || punctuation(c)) {
        let problem =
            "is of letters, digits, spaces and punctuation, without quotes and backslashes";
        return Err(Violation::new("consumer", problem));
    }
    Ok(())
}

/// A range of times that was asked for.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) since: Option<DateTime<Utc>>,
    pub(crate) before: Option<DateTime<Utc>>,
    pub(crate) filter: WantedEvents,
}

impl Range {
    pub(crate) fn since(request: TimeRangeRequest) -> Result<Self, Violation> {
        if request.end_at.is_some() {
            let problem = "is for GetEventsBetween; GetEventsSince reads up to the present";
            return Err(Violation::new("end_at", problem));
        }
        Self::new(request)
    }

    pub(crate) fn between(request: TimeRangeRequest) -> Result<Self, Violation> {
        let range = Self::new(request)?;
        match (range.since, range.before) {
            (_, None) => Err(Violation::new("end_at", "is required")),
            (Some(since), Some(before)) if before < since => {
                Err(Violation::new("end_at", "lies before start_from"))
            }
            _ => Ok(range),
        }
    }

    fn new(request: TimeRangeRequest) -> Result<Self, Violation> {
        Ok(Self {
            since: request
                .start_from
                .map(|at| time("start_from", at))
                .transpose()?,
            before: request.end_at.map(|at| time("end_at", at)).transpose()?,
            filter: WantedEvents::new(request.event_types, request.series_ids)?,
        })
    }
}

fn time(field: &str, timestamp: Timestamp) -> Result<DateTime<Utc>, Violation> {
    timestamp
        .to_utc()
        .ok_or_else(|| Violation::new(field, "is not a time in the years 1 to 9999"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    #[track_caller]
    fn check(request: SubscriptionRequest, field: Option<&str>) {
        let violation = Subscribe::try_from(request).err();
        assert_eq!(
            violation.as_ref().map(|v| v.field.as_str()),
            field,
            "{violation:?}"
        );
    }

    #[test]
    fn a_bad_subscription_names_its_field() {
        let request = SubscriptionRequest::default;
        let duration = |seconds, nanos| Some(pbjson_types::Duration { seconds, nanos });
        check(request(), None);
        check(
            SubscriptionRequest {
                start_from: at(1),
                ..request()
            },
            None,
        );
        check(
            SubscriptionRequest {
                start_from: at(1),
                after_position: Some(0),
                ..request()
            },
            Some("start_from"),
        );
        check(
            SubscriptionRequest {
                start_from: at(i64::MAX),
                ..request()
            },
            Some("start_from"),
        );
        check(
            SubscriptionRequest {
                event_types: vec!["X".into()],
                ..request()
            },
            Some("event_types[0]"),
        );
        check(
            SubscriptionRequest {
                consumer: "x".repeat(101),
                ..request()
            },
            Some("consumer"),
        );
        for (consumer, field) in [
            ("Shop (EU) #3: a/b_c.d-e@f", None),
            ("Größe", None),
            ("a\nb", Some("consumer")),
            ("a\0", Some("consumer")),
            ("\u{202e}a", Some("consumer")),
            ("a\"} 1", Some("consumer")),
        ] {
            let consumer = consumer.to_owned();
            check(
                SubscriptionRequest {
                    consumer,
                    ..request()
                },
                field,
            );
        }
        for (seconds, nanos, field) in [
            (10, 0, None),
            (0, 100_000_000, None),
            (0, 99_999_999, Some("heartbeat_interval")),
            (3_601, 0, Some("heartbeat_interval")),
            (-1, 0, Some("heartbeat_interval")),
            (1, -1, Some("heartbeat_interval")),
        ] {
            let heartbeat_interval = duration(seconds, nanos);
            check(
                SubscriptionRequest {
                    heartbeat_interval,
                    ..request()
                },
                field,
            );
        }
    }

    #[test]
    fn a_range_ends_after_it_begins() {
        let range = |start_from, end_at| TimeRangeRequest {
            start_from,
            end_at,
            ..Default::default()
        };
        assert!(Range::between(range(at(5), at(5))).is_ok());
        assert_eq!(
            Range::between(range(at(5), at(4))).unwrap_err().field,
            "end_at"
        );
        assert_eq!(
            Range::between(range(at(5), None)).unwrap_err().field,
            "end_at"
        );
        assert_eq!(
            Range::since(range(at(5), at(6))).unwrap_err().field,
            "end_at"
        );
        assert!(Range::since(range(None, None)).is_ok());
    }
}
