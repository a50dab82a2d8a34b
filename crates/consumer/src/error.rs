use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Why a consumer could not start, or had to stop. What passes by itself (a source or the database
/// that is away) is none: the consumer waits for it.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// Two sources have one name; they would share a checkpoint.
    #[error("two sources are named \"{0}\"; each needs a name of its own")]
    SameName(String),
    /// The configuration cannot work.
    #[error("{0}")]
    Configuration(String),
    /// The address of a source is none.
    #[error("source \"{name}\": \"{url}\" is no address such as http://collector:5001 ({reason})")]
    Address {
        /// The source.
        name: String,
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tables could not be brought to this version.
    #[error("the migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The source is another log than the one that the checkpoint belongs to: the position means
    /// nothing there.
    #[error(
        "source \"{name}\" was replaced: the checkpoint belongs to the log {expected}, but the \
         source is the log {found}; to continue with that log, reset the checkpoint to a position \
         that both have in common, or to the beginning"
    )]
    OtherLog {
        /// The source.
        name: String,
        /// The log of the checkpoint.
        expected: Uuid,
        /// The log that is there now.
        found: Uuid,
    },
    /// The log does not hold what comes after the cursor: retention removed it, or the log was set
    /// back.
    #[error(
        "source \"{name}\" cannot resume from its checkpoint: {reason}; reset the checkpoint to \
         continue without the missing events"
    )]
    OutOfRange {
        /// The source.
        name: String,
        /// What the log said.
        reason: String,
    },
    /// The log does not hold what was processed of it: it went back to an earlier moment, or became
    /// another one under the same identity.
    #[error(
        "source \"{name}\" has a different history from the one that was processed: {reason}; \
         find out what the log lost, then reset the checkpoint"
    )]
    HistoryChanged {
        /// The source.
        name: String,
        /// What was found.
        reason: String,
    },
    /// This service has stopped before, for a reason that only an operator can decide about.
    #[error("{reason} (stopped at {at}, until the checkpoint of source \"{name}\" is reset)")]
    Stopped {
        /// The source.
        name: String,
        /// What was found then.
        reason: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// One event after the other could not be processed.
    #[error(
        "source \"{name}\": {count} events in a row cannot be processed, for example the one at \
         position {position}: {reason}. None of them was parked. Fix the cause and restart, or \
         move the checkpoint past them"
    )]
    NothingProcessable {
        /// The source.
        name: String,
        /// How many.
        count: u64,
        /// Of the last one.
        position: u64,
        /// Why it cannot be processed.
        reason: String,
    },
    /// Events are missing from an unfiltered stream.
    #[error(
        "source \"{name}\" has a hole: position {found} came after {after}; nothing after the hole \
         was processed"
    )]
    Hole {
        /// The source.
        name: String,
        /// The last position before the hole.
        after: u64,
        /// The position that came next.
        found: u64,
    },
    /// The log says of itself that it is damaged.
    #[error("source \"{name}\" is damaged: {reason}")]
    Damaged {
        /// The source.
        name: String,
        /// What the log said.
        reason: String,
    },
    /// The source refuses the request for good.
    #[error("source \"{name}\" refuses the subscription: {reason}")]
    Refused {
        /// The source.
        name: String,
        /// What the source said.
        reason: String,
    },
    /// The source stays away, and nobody waits for it.
    #[error("source \"{name}\" cannot be reached: {reason}")]
    Away {
        /// The source.
        name: String,
        /// What was found.
        reason: String,
    },
}

impl ConsumerError {
    /// Whether the log contradicts the checkpoint. A later look may not find that any more, once the
    /// log has grown past the checkpoint: so the service stays stopped until an operator decides.
    /// What any later look finds as well (something missing *behind* the checkpoint, a refusal) is
    /// none.
    pub fn contradicts_checkpoint(&self) -> bool {
        match self {
            Self::OtherLog { .. } | Self::OutOfRange { .. } | Self::HistoryChanged { .. } => true,
            Self::Hole { after, found, .. } => found <= after,
            Self::SameName(_)
            | Self::Configuration(_)
            | Self::Address { .. }
            | Self::Migration(_)
            | Self::Stopped { .. }
            | Self::NothingProcessable { .. }
            | Self::Damaged { .. }
            | Self::Refused { .. }
            | Self::Away { .. } => false,
        }
    }
}
