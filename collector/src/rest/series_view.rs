//! Series as REST shows and takes them.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use service::rest::extract;

use crate::{collection::Collected, config::Backfill, series::Series};

/// A series that is collected.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeriesView {
    /// Its id at the source.
    #[schema(example = "UNRATE")]
    id: String,
    /// Where it comes from.
    #[schema(example = "fred")]
    source: String,
    /// Its title. As units, frequency and seasonal adjustment in the source's words; `null` until
    /// the source was first asked.
    #[schema(example = "Unemployment Rate")]
    title: Option<String>,
    /// The units of its values.
    #[schema(example = "Percent")]
    units: Option<String>,
    /// How often it has values.
    #[schema(example = "Monthly")]
    frequency: Option<String>,
    /// Whether and how it is seasonally adjusted.
    #[schema(example = "Seasonally Adjusted")]
    seasonal_adjustment: Option<String>,
    /// When it is collected: a cron expression, in UTC or in the time zone that it names.
    #[schema(example = "45 8,10,16 * * * America/New_York")]
    schedule: String,
    /// Whether the schedule was set; otherwise it is the one that suits the frequency.
    schedule_is_set: bool,
    /// Whether the schedule is suspended.
    paused: bool,
    /// The first observation date that is collected; `null` for all there are.
    backfill_from: Option<NaiveDate>,
    /// The source's day up to which everything is known; `null` before the first collection and
    /// after an extension of the backfill.
    known_up_to: Option<NaiveDate>,
    /// When it was added.
    added_at: DateTime<Utc>,
    /// When the source was last asked.
    last_attempt_at: Option<DateTime<Utc>>,
    /// When that last succeeded.
    last_success_at: Option<DateTime<Utc>>,
    /// How often it has failed since.
    consecutive_failures: u32,
    /// How it failed last, if it failed since it last succeeded.
    last_error: Option<LastErrorView>,
    /// When it is to be collected next; `null` while it is paused.
    next_collection_at: Option<DateTime<Utc>>,
}

/// How a collection failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastErrorView {
    /// Stable code.
    #[schema(example = "HTTP_503")]
    code: String,
    /// For people.
    message: String,
}

impl From<Series> for SeriesView {
    fn from(series: Series) -> Self {
        let nonempty = |text: String| (!text.is_empty()).then_some(text);
        Self {
            id: series.id,
            source: series.source,
            title: nonempty(series.title),
            units: nonempty(series.units),
            frequency: nonempty(series.frequency),
            seasonal_adjustment: nonempty(series.seasonal_adjustment),
            schedule: series.schedule.to_string(),
            schedule_is_set: series.schedule_is_set,
            paused: series.paused,
            backfill_from: series.backfill_from,
            known_up_to: series.vintage_cursor,
            added_at: series.added_at,
            last_attempt_at: series.last_attempt_at,
            last_success_at: series.last_success_at,
            consecutive_failures: series.consecutive_failures,
            last_error: series.last_error.map(|error| LastErrorView {
                code: error.code,
                message: error.message,
            }),
            next_collection_at: (!series.paused).then_some(series.next_collection_at),
        }
    }
}

/// All series.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeriesList {
    /// By id.
    pub(super) series: Vec<SeriesView>,
}

/// A series to be collected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddSeries {
    /// Its id at FRED: 1 to 50 letters, digits, `_`, `.` or `-`.
    #[schema(example = "UNRATE", min_length = 1, max_length = 50)]
    pub(super) id: String,
    /// A cron expression, in UTC or in the time zone whose IANA name follows it (`30 8 * * 1-5 America/New_York`); the
    /// one that suits the frequency if absent.
    #[schema(example = "45 13 * * 1-5")]
    pub(super) schedule: Option<String>,
    /// How far back: a number of months (`24mo`, if absent), a date, or `all`.
    #[serde(default, deserialize_with = "extract::parsed")]
    #[schema(value_type = Option<String>, example = "1990-01-01")]
    pub(super) backfill: Option<Backfill>,
}

/// What to change of a series.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeSeries {
    /// A cron expression, in UTC or in the time zone whose IANA name follows it; `null` for the one that suits the frequency.
    #[serde(deserialize_with = "given")]
    #[schema(example = "45 13 * * 1-5", required = true)]
    pub(super) schedule: Option<String>,
}

/// An optional value whose field must not be absent: `null` has a meaning of its own.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// How far back to collect.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BackfillSeries {
    /// A date, `all`, or a number of months such as `120mo`.
    #[serde(deserialize_with = "required")]
    #[schema(value_type = String, example = "1990-01-01")]
    pub(super) from: Backfill,
}

fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Backfill, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

/// What a collection brought.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CollectedView {
    /// The series.
    series_id: String,
    /// How many values were new or revised.
    data_points: usize,
    /// Position of the first event that has them; `null` if nothing was new.
    first_position: Option<u64>,
    /// Position of the last one.
    last_position: Option<u64>,
    /// When the schedule collects it next, unless it is paused.
    next_collection_at: DateTime<Utc>,
}

impl From<Collected> for CollectedView {
    fn from(collected: Collected) -> Self {
        Self {
            series_id: collected.series_id,
            data_points: collected.data_points,
            first_position: collected.first_position,
            last_position: collected.last_position,
            next_collection_at: collected.next_collection_at,
        }
    }
}
