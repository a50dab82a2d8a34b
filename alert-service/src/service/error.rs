use consumer::ConsumerError;
use service::PartEnded;

use crate::channel::{SealError, SenderError};

/// Why an alert service could not start. Each text is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// For a reason that any service may have.
    #[error(transparent)]
    Service(#[from] service::StartError),
    /// A source cannot be consumed as it is configured.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// A key file of channels.key_files cannot be used.
    #[error("channels.key_files: {0}")]
    Seal(#[from] SealError),
    /// Messages cannot be sent.
    #[error("messages cannot be sent: {0}")]
    Sender(#[from] SenderError),
}

/// Why an alert service ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A part ended that was not to end.
    #[error(transparent)]
    Ended(#[from] PartEnded),
}
