use std::path::PathBuf;

use consumer::ConsumerError;
use service::PartEnded;

use super::ReloadError;

/// Why an engine could not start. Each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// For a reason that any service may have.
    #[error(transparent)]
    Service(#[from] service::StartError),
    /// A source cannot be consumed as it is configured.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The folder of definitions cannot be read.
    #[error("the patterns in {} cannot be read: {problem}; set PATTERNS__FOLDER to their folder", folder.display())]
    Folder {
        /// As configured.
        folder: PathBuf,
        /// What the system said.
        problem: std::io::Error,
    },
    /// The listener of REST does not work.
    #[error("the listener of REST does not work: {0}")]
    Listener(std::io::Error),
    /// The engine's state cannot be read from the database.
    #[error("the engine's state cannot be read from the database: {0}")]
    State(#[from] sqlx::Error),
    /// The definitions cannot be taken up.
    #[error("the definitions cannot be deployed: {0}")]
    Definitions(#[from] ReloadError),
}

/// Why an engine ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part ended that was not to end.
    #[error(transparent)]
    Ended(#[from] PartEnded),
}
