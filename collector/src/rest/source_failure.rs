//! Which problem a failure of the registry or of FRED is.

use service::rest::{Problem, ProblemKind};

use crate::{
    fred::{FredError, FredFailure},
    series::SeriesError,
};

impl From<SeriesError> for Problem {
    fn from(error: SeriesError) -> Self {
        let detail = error.to_string();
        match error {
            SeriesError::InvalidId(_) => Self::field(ProblemKind::InvalidRequest, "id", detail),
            SeriesError::InvalidSchedule(_) => {
                Self::field(ProblemKind::InvalidRequest, "schedule", detail)
            }
            SeriesError::AlreadyExists(_) => Self::field(ProblemKind::SeriesExists, "id", detail),
            SeriesError::NotFound(_) => Self::field(ProblemKind::NotFound, "id", detail),
            SeriesError::Busy(_) => Self::new(ProblemKind::Conflict, detail),
            SeriesError::Source(failure) => failure.into(),
            SeriesError::Panicked => Self::new(ProblemKind::Internal, detail),
            SeriesError::Log(error) => error.into(),
            SeriesError::Database(error) => error.into(),
        }
    }
}

impl From<FredFailure> for Problem {
    fn from(failure: FredFailure) -> Self {
        let FredFailure { error, attempts } = failure;
        let (code, detail) = (error.code(), error.to_string());
        match error {
            FredError::SeriesNotFound { .. } => Self::field(ProblemKind::NotFound, "id", detail),
            FredError::Pace(error) => error.into(),
            FredError::KeyRefused { .. }
            | FredError::BadRequest { .. }
            | FredError::RateLimited { .. }
            | FredError::Http { .. }
            | FredError::Timeout { .. }
            | FredError::Connection { .. }
            | FredError::Malformed { .. }
            | FredError::TooLarge { .. }
            | FredError::CircuitOpen { .. } => Self::new(ProblemKind::SourceFailed, detail)
                .with("code", code)
                .with("attempts", attempts),
        }
    }
}
