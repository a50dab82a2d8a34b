use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use ulid::Ulid;

/// Where a data point came from: enough to name it in what it causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Name of the source log.
    pub source: Arc<str>,
    /// Position of the event in that log.
    pub position: u64,
    /// Which of the event's data points, from 0.
    pub index: u32,
    /// The event.
    pub event_id: Ulid,
    /// When the event occurred; the time of the ids that are derived from it.
    pub occurred_at: DateTime<Utc>,
}

impl Cause {
    /// Of evaluations whose emissions are dropped.
    pub fn nobody() -> Self {
        Self {
            source: "".into(),
            position: 0,
            index: 0,
            event_id: Ulid::nil(),
            occurred_at: DateTime::UNIX_EPOCH,
        }
    }
}

/// One data point of the sequence that the engine sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The event that brought it.
    pub cause: Cause,
    /// Which series.
    pub series: Arc<str>,
    /// The calendar date that the observation is for.
    pub date: NaiveDate,
    /// From when the value was known. Of two points for a date the later known one is in force.
    pub known_from: DateTime<Utc>,
    /// Absent if the source says that there is no value, which withdraws an earlier one.
    pub value: Option<Decimal>,
}
