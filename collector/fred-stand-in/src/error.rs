//! Errors of setting up and controlling the stand-in.

use chrono::NaiveDate;

/// Why the stand-in could not be started or did not do what was requested.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandInError {
    /// The stand-in has no such series.
    #[error("the stand-in has no series `{series_id}`")]
    UnknownSeries {
        /// The id that was asked for.
        series_id: String,
    },
    /// A value is neither a decimal number nor `.`.
    #[error("`{value}` is neither a decimal number nor \".\"")]
    InvalidValue {
        /// The value as it was given.
        value: String,
    },
    /// A committed or given file of figures is not what it should be.
    #[error("series `{series_id}`, line {line}: {reason}")]
    InvalidData {
        /// The series whose figures are broken.
        series_id: String,
        /// The line, the header being the first.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The catalogue of the committed series cannot be read.
    #[error("the catalogue of series cannot be read: {0}")]
    InvalidCatalogue(#[from] serde_json::Error),
    /// A day beyond the calendar.
    #[error("no day {days} days from {from}")]
    DayOutOfRange {
        /// The day that was counted from.
        from: NaiveDate,
        /// How many days were added; negative counts backwards.
        days: i64,
    },
    /// The listener has no address.
    #[error("the listener has no address: {0}")]
    Listener(#[from] std::io::Error),
}
