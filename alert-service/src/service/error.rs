use consumer::ConsumerError;

use crate::channel::{SealError, SenderError};

/// Why an alert service could not start. Each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// For a reason that any service may have.
    #[error(transparent)]
    Service(#[from] service::StartError),
    /// A key file of channels.key_files cannot be used.
    #[error("channels.key_files: {0}")]
    Seal(#[from] SealError),
    /// The channel that it is to begin with cannot be made.
    #[error("channels.begin_with_log: {0}")]
    Beginning(sqlx::Error),
    /// Messages cannot be sent.
    #[error("messages cannot be sent: {0}")]
    Sender(#[from] SenderError),
}

impl From<ConsumerError> for StartError {
    fn from(error: ConsumerError) -> Self {
        Self::Service(error.into())
    }
}
