use chrono::{DateTime, Utc};

/// Why a log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The database has no TimescaleDB extension and none can be created.
    #[error(
        "the database has no TimescaleDB extension ({reason}); install it (Debian 13: \
         postgresql-17-timescaledb), add timescaledb to shared_preload_libraries, restart, and run \
         CREATE EXTENSION timescaledb as a superuser"
    )]
    ExtensionMissing {
        /// What the database said.
        reason: String,
    },
    /// The database server or its extension is of a release that the log does not work with.
    #[error("{product} {found} is too old: {oldest} or later is needed")]
    Unsupported {
        /// PostgreSQL or TimescaleDB.
        product: &'static str,
        /// The release that was found.
        found: String,
        /// The oldest release that will do.
        oldest: String,
    },
    /// The name of a schema is not lower-case letters, digits and underscores.
    #[error("\"{0}\" is no name for a schema: use lower-case letters, digits and underscores")]
    SchemaName(String),
    /// Sessions do not keep what a log needs.
    #[error(transparent)]
    Session(#[from] crate::database::SessionProblem),
    /// The schema could not be brought to this version.
    #[error("the migration failed: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// An event is older than what the log keeps; nothing of its batch was stored.
    #[error("the event at index {index} is older than the log keeps")]
    TooOld {
        /// Index in the batch.
        index: usize,
        /// The oldest `occurred_at` that is accepted.
        earliest: DateTime<Utc>,
    },
    /// Retention has removed the position after the cursor.
    #[error(
        "position {after} was removed by retention; the first that remains is {first_position}"
    )]
    Trimmed {
        /// The cursor.
        after: u64,
        /// The first position that remains.
        first_position: u64,
    },
    /// Events at or after this time may have been removed by retention.
    #[error("events since {since} were partly removed by retention, which has kept {kept_since}")]
    TrimmedTime {
        /// The time that was asked for.
        since: DateTime<Utc>,
        /// From here on all are kept.
        kept_since: DateTime<Utc>,
        /// The first position that remains.
        first_position: u64,
    },
    /// The cursor lies beyond the last position.
    #[error("position {after} lies beyond the last one, {last_position}")]
    BeyondHead {
        /// The cursor.
        after: u64,
        /// The last position.
        last_position: u64,
    },
    /// The stored log has a hole where there must be none: storage was tampered with or damaged.
    #[error("the log has a hole after position {after}")]
    Hole {
        /// The last position before the hole.
        after: u64,
    },
    /// Too much is waiting to be stored; nothing of this batch was.
    #[error("too many events are waiting to be stored")]
    Overloaded,
    /// A batch before this one in its [`crate::Sequence`] was not stored; nor was this one.
    #[error("a batch before this one was not stored")]
    PrecedingNotStored,
    /// The log is shutting down; nothing of this batch was stored.
    #[error("the log is shutting down")]
    Closed,
    /// The connection was lost during the commit: the batch may or may not be stored. Appending
    /// the same ids again answers which.
    #[error("the outcome of the commit is unknown: {0}")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The process does not vouch for the log; if this was an append, nothing was stored.
    #[error(transparent)]
    Unverified(#[from] crate::Unverified),
    /// The database refused or failed; if this was an append, nothing was stored.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
}

impl LogError {
    /// Whether the same call may succeed later without a change.
    pub fn is_transient(&self) -> bool {
        match self {
            // The log, not what is to be stored, is at fault where it is unverified: an operator puts
            // that right.
            Self::Overloaded
            | Self::PrecedingNotStored
            | Self::Closed
            | Self::Unverified(_)
            | Self::OutcomeUnknown(_) => true,
            Self::Database(error) => !is_data_error(error),
            Self::ExtensionMissing { .. }
            | Self::Unsupported { .. }
            | Self::SchemaName(_)
            | Self::Session(_)
            | Self::Migration(_)
            | Self::TooOld { .. }
            | Self::Trimmed { .. }
            | Self::TrimmedTime { .. }
            | Self::BeyondHead { .. }
            | Self::Hole { .. } => false,
        }
    }
}

/// Whether the database found fault with the data (SQLSTATE classes 22 and 23), and not with its
/// own condition.
pub(crate) fn is_data_error(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}
