use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use schedule::Schedule;

use super::default_schedule;
use crate::fred::FredSeries;

/// A source is asked what it says about a series once it is so old: with each day's first
/// collection.
const METADATA_AGE_MAX: TimeDelta = TimeDelta::hours(20);

/// A series that is collected.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its id, such as `UNRATE`.
    pub id: String,
    /// Where it comes from: `fred`.
    pub source: String,
    /// Its title. As units, frequency and seasonal adjustment: the source's words, empty until the
    /// source was first asked.
    pub title: String,
    /// The units of its values.
    pub units: String,
    /// How often it has values, which may be qualified: `Weekly, Ending Saturday`.
    pub frequency: String,
    /// Whether and how it is seasonally adjusted.
    pub seasonal_adjustment: String,
    /// When it is collected.
    pub schedule: Schedule,
    /// Whether the schedule was set; otherwise it is the one that suits the frequency.
    pub schedule_is_set: bool,
    /// Whether it is left alone by the schedule.
    pub paused: bool,
    /// The first observation date that is collected; `None` for all there are.
    pub backfill_from: Option<NaiveDate>,
    /// The source's day up to which everything is known; `None` before the first collection and
    /// after an extension of the backfill.
    pub vintage_cursor: Option<NaiveDate>,
    /// When it was added.
    pub added_at: DateTime<Utc>,
    /// When the source was last asked.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// When that last succeeded.
    pub last_success_at: Option<DateTime<Utc>>,
    /// How often it has failed since.
    pub consecutive_failures: u32,
    /// How it failed last, if it failed since it last succeeded.
    pub last_error: Option<LastError>,
    /// When it is to be collected next, unless paused. May lie in the past for moments.
    pub next_collection_at: DateTime<Utc>,
}

/// How a collection failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// Stable code, such as `HTTP_503`.
    pub code: String,
    /// For people.
    pub message: String,
}

/// A row of the table `series`, as it is stored.
#[derive(Debug)]
pub(crate) struct SeriesRow {
    pub(crate) series_id: String,
    pub(crate) source: String,
    pub(crate) title: Option<String>,
    pub(crate) units: Option<String>,
    pub(crate) frequency: Option<String>,
    pub(crate) seasonal_adjustment: Option<String>,
    pub(crate) schedule: Option<String>,
    pub(crate) paused: bool,
    pub(crate) backfill_from: Option<NaiveDate>,
    pub(crate) vintage_cursor: Option<NaiveDate>,
    pub(crate) version: i64,
    pub(crate) added_at: DateTime<Utc>,
    pub(crate) last_attempt_at: Option<DateTime<Utc>>,
    pub(crate) last_success_at: Option<DateTime<Utc>>,
    pub(crate) consecutive_failures: i32,
    pub(crate) last_error_code: Option<String>,
    pub(crate) last_error_message: Option<String>,
    pub(crate) next_collection_at: DateTime<Utc>,
    pub(crate) metadata_asked_at: Option<DateTime<Utc>>,
}

impl SeriesRow {
    /// Whether the source is to be asked what it says about the series, as it may have changed
    /// since.
    pub(crate) fn needs_metadata(&self, now: DateTime<Utc>) -> bool {
        self.title.is_none()
            || self
                .metadata_asked_at
                .is_none_or(|asked_at| now - asked_at >= METADATA_AGE_MAX)
    }

    /// Whether the source describes the series otherwise than it did.
    pub(crate) fn is_described_otherwise(&self, metadata: &FredSeries) -> bool {
        let differs = |before: &Option<String>, now: &str| before.as_deref() != Some(now);
        self.title.is_some()
            && (differs(&self.title, &metadata.title)
                || differs(&self.units, &metadata.units)
                || differs(&self.frequency, &metadata.frequency)
                || differs(&self.seasonal_adjustment, &metadata.seasonal_adjustment))
    }

    /// The schedule that was set, or the one that suits the frequency. A stored text that is no
    /// schedule (written by hand) counts as none.
    pub(crate) fn schedule(&self) -> Schedule {
        let set = self.schedule.as_deref().and_then(|text| text.parse().ok());
        let frequency = self.frequency.as_deref().unwrap_or_default();
        set.unwrap_or_else(|| default_schedule(frequency))
    }
}

impl From<SeriesRow> for Series {
    fn from(row: SeriesRow) -> Self {
        Self {
            schedule: row.schedule(),
            schedule_is_set: row.schedule.is_some(),
            id: row.series_id,
            source: row.source,
            title: row.title.unwrap_or_default(),
            units: row.units.unwrap_or_default(),
            frequency: row.frequency.unwrap_or_default(),
            seasonal_adjustment: row.seasonal_adjustment.unwrap_or_default(),
            paused: row.paused,
            backfill_from: row.backfill_from,
            vintage_cursor: row.vintage_cursor,
            added_at: row.added_at,
            last_attempt_at: row.last_attempt_at,
            last_success_at: row.last_success_at,
            consecutive_failures: row.consecutive_failures.unsigned_abs(),
            last_error: row
                .last_error_code
                .zip(row.last_error_message)
                .map(|(code, message)| LastError { code, message }),
            next_collection_at: row.next_collection_at,
        }
    }
}
