use std::path::PathBuf;

use consumer::ConsumerError;

use super::ReloadError;

/// Why an engine could not start. Each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// For a reason that any service may have.
    #[error(transparent)]
    Service(#[from] service::StartError),
    /// The folder of definitions cannot be read.
    #[error("the patterns in {} cannot be read: {problem}; set PATTERNS__FOLDER to their folder", folder.display())]
    Folder {
        /// As configured.
        folder: PathBuf,
        /// What the system said.
        problem: std::io::Error,
    },
    /// The engine's state cannot be read from the database.
    #[error("the engine's state cannot be read from the database: {0}")]
    State(#[from] sqlx::Error),
    /// The definitions cannot be taken up.
    #[error("the definitions cannot be deployed: {0}")]
    Definitions(#[from] ReloadError),
}

impl From<ConsumerError> for StartError {
    fn from(error: ConsumerError) -> Self {
        Self::Service(error.into())
    }
}
