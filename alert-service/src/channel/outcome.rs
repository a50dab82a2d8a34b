use std::time::Duration;

/// What became of an attempt to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The channel took it over.
    Accepted {
        /// What the channel calls it, or answered; at most 1 KiB.
        receipt: Option<String>,
    },
    /// The destination asks for a pause: no failed attempt.
    Slower {
        /// Until then nothing is sent to this destination.
        pause: Duration,
        /// For people; at most 1 KiB.
        reason: String,
    },
    /// It may succeed later.
    Failed {
        /// For people; at most 1 KiB.
        reason: String,
    },
    /// The channel may have taken it over or not: the answer was lost. It is sent once more, with the same id.
    Unknown {
        /// For people; at most 1 KiB.
        reason: String,
    },
    /// It will never succeed.
    Refused {
        /// For people; at most 1 KiB.
        reason: String,
        /// Whether nothing else that is sent to this destination can succeed either.
        disables_channel: bool,
    },
    /// The destination has another address now, by which it is sent again.
    Moved {
        /// The new address.
        to: String,
    },
}

/// The message is refused; others to the channel are not.
pub(super) fn refused(reason: impl Into<String>) -> Outcome {
    Outcome::Refused {
        reason: reason.into(),
        disables_channel: false,
    }
}

/// Nothing that is sent to the channel can succeed.
pub(super) fn disabled(reason: impl Into<String>) -> Outcome {
    Outcome::Refused {
        reason: reason.into(),
        disables_channel: true,
    }
}

/// It may succeed later.
pub(super) fn failed(reason: impl Into<String>) -> Outcome {
    Outcome::Failed {
        reason: reason.into(),
    }
}
