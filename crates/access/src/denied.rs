use std::time::Duration;

use crate::Scope;

/// What an entry can be limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A series.
    Series,
    /// An event type.
    EventType,
    /// A source service.
    Source,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::EventType => "event type",
            Self::Source => "source service",
        }
    }
}

/// Why a call is refused. The texts go to the client and reveal nothing that it did not know:
/// neither whether a token exists nor whether what it asked for does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no token, or it is wrong, expired or revoked; which of these is not revealed.
    #[error("a valid token is needed: authorization: Bearer <token>")]
    Unauthenticated,
    /// The token of a running stream was revoked or changed, or has expired.
    #[error("the token was revoked or changed, or has expired; connect again with a valid one")]
    Ended,
    /// The entry lacks a scope.
    #[error("the scope \"{0}\" is needed, which these credentials do not have")]
    Scope(Scope),
    /// Something outside of what the entry is limited to.
    #[error("these credentials do not extend to the {} \"{value}\"", .kind.name())]
    Beyond {
        /// Path of the field, or name of the parameter.
        field: String,
        /// What it is one of.
        kind: Kind,
        /// As the client gave it.
        value: String,
    },
    /// An event about no series, from an entry that is limited to series.
    #[error("these credentials extend only to events that are about their series")]
    NoSeries {
        /// Path of the event.
        field: String,
    },
    /// What is left of a wish, or of the entry, cannot be put into a filter.
    #[error("the types these credentials permit do not fit into this request; name fewer types")]
    NoFilter,
    /// For entries that are limited to nothing.
    #[error("this is only for credentials that are not limited to sources, event types or series")]
    Limited,
    /// Nobody may, since no rule says who may.
    #[error("no caller may do this")]
    NoRule,
    /// Too many events in too short a time.
    #[error("more than {events_per_second} events a second; try again in {:.3} s", .retry_after.as_secs_f64())]
    TooFast {
        /// The limit.
        events_per_second: u32,
        /// When there will be room.
        retry_after: Duration,
    },
    /// So many events at once will never be let through.
    #[error(
        "{events} events at once are more than these credentials may publish in a second, {events_per_second}"
    )]
    TooMany {
        /// How many there were.
        events: usize,
        /// The limit.
        events_per_second: u32,
    },
    /// The batch is too large.
    #[error(
        "{bytes} bytes of events in one batch are over the limit of these credentials, {bytes_max}"
    )]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Too many open streams.
    #[error("these credentials may have {streams_max} streams open at once; end one of them")]
    TooManyStreams {
        /// The limit.
        streams_max: u32,
    },
}

impl Denied {
    /// Stable reason for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Ended => "TOKEN_ENDED",
            Self::Scope(_) => "SCOPE_MISSING",
            Self::Beyond { .. } | Self::NoSeries { .. } | Self::NoFilter => "NOT_GRANTED",
            Self::Limited => "UNLIMITED_ONLY",
            Self::NoRule => "NO_RULE",
            Self::TooFast { .. } => "RATE_LIMITED",
            Self::TooMany { .. } => "BATCH_RATE_TOO_LARGE",
            Self::TooLarge { .. } => "BATCH_BYTES_TOO_LARGE",
            Self::TooManyStreams { .. } => "TOO_MANY_STREAMS",
        }
    }

    /// The field at fault, if one is.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Beyond { field, .. } | Self::NoSeries { field } => {
                Some(field.as_str()).filter(|field| !field.is_empty())
            }
            _ => None,
        }
    }

    /// After what time to try again, where that helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooFast { retry_after, .. } => Some(*retry_after),
            Self::TooManyStreams { .. } => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}
