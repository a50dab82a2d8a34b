use crate::{fred::FredError, series::SeriesError};

/// Why a collector could not start. Each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// For a reason that any service may have.
    #[error(transparent)]
    Service(#[from] service::StartError),
    /// The source cannot be asked from this machine.
    #[error("FRED cannot be asked from this machine: {0}")]
    Source(#[from] FredError),
    /// The series of the configuration cannot be added.
    #[error("the series of the configuration cannot be added: {0}")]
    Series(#[from] SeriesError),
}
