use schedule::ScheduleError;

use crate::{collection::CollectError, fred::FredFailure};

/// Why the registry could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// The id is not 1 to 50 letters, digits, "_", "." or "-".
    #[error("\"{0}\" is no series id: use 1 to 50 letters, digits, \"_\", \".\" or \"-\"")]
    InvalidId(String),
    /// The schedule is no cron expression.
    #[error(transparent)]
    InvalidSchedule(#[from] ScheduleError),
    /// The series is in the registry already.
    #[error("the series \"{0}\" is collected already")]
    AlreadyExists(String),
    /// The series is not in the registry.
    #[error("the series \"{0}\" is not collected")]
    NotFound(String),
    /// The source did not give what was needed; [`crate::fred::FredError::SeriesNotFound`] if it
    /// knows no such series.
    #[error(transparent)]
    Source(#[from] FredFailure),
    /// Other collectors collected the series at the same time, again and again. Nothing was lost.
    #[error("other collectors are collecting the series \"{0}\" at present")]
    Busy(String),
    /// The collector made a mistake, which is recorded as a failure of the collection.
    #[error("the collection failed because of an internal error of the collector")]
    Panicked,
    /// The log refused or failed.
    #[error(transparent)]
    Log(#[from] event_log::LogError),
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<CollectError> for SeriesError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Source(failure) => Self::Source(failure),
            CollectError::NotFound(id) => Self::NotFound(id),
            CollectError::Busy(id) => Self::Busy(id),
            CollectError::Panicked => Self::Panicked,
            CollectError::Log(error) => Self::Log(error),
            CollectError::Database(error) => Self::Database(error),
        }
    }
}
