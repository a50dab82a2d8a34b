use std::time::Duration;

use reqwest::StatusCode;

/// FRED's word for a series of which it keeps today's values only.
pub(crate) const UNARCHIVED: &str = "series does not exist in ALFRED";

/// Why FRED did not give what was asked for. No text in it holds the key.
#[derive(Debug, thiserror::Error)]
pub enum FredError {
    /// FRED knows no such series.
    #[error("FRED knows no series \"{series_id}\"")]
    SeriesNotFound {
        /// The id asked for.
        series_id: String,
    },
    /// FRED does not accept the key: it is missing, malformed or not registered.
    #[error("FRED refused the key: {message}")]
    KeyRefused {
        /// FRED's words.
        message: String,
    },
    /// FRED found fault with the request.
    #[error("FRED refused the request: {message}")]
    BadRequest {
        /// FRED's words.
        message: String,
    },
    /// Too many requests with this key.
    #[error("FRED answered 429: too many requests")]
    RateLimited {
        /// What FRED asks to wait.
        retry_after: Option<Duration>,
    },
    /// Any other status than success.
    #[error("FRED answered {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    Http {
        /// The status.
        status: StatusCode,
        /// FRED's words; may be empty.
        message: String,
    },
    /// No answer in time.
    #[error("FRED did not answer within {} s", timeout.as_secs_f32())]
    Timeout {
        /// How long was waited.
        timeout: Duration,
    },
    /// No connection, or it broke.
    #[error("no answer from FRED: {message}")]
    Connection {
        /// What happened.
        message: String,
    },
    /// The answer is not what the API promises.
    #[error("FRED's answer cannot be used: {problem}")]
    Malformed {
        /// What it is instead.
        problem: String,
    },
    /// The answer is larger than is accepted.
    #[error("FRED's answer has more than {limit}")]
    TooLarge {
        /// The bound, with its unit.
        limit: String,
    },
    /// Nothing was asked, since FRED has failed too often of late.
    #[error("FRED is not asked for {} s, since it failed too often", retry_in.as_secs())]
    CircuitOpen {
        /// When it will be asked again.
        retry_in: Duration,
    },
    /// The database could not answer when the next request may be made.
    #[error("the pace of requests could not be kept: {0}")]
    Pace(#[source] sqlx::Error),
}

impl FredError {
    /// Stable code, for machines.
    pub fn code(&self) -> String {
        match self {
            Self::SeriesNotFound { .. } => "SERIES_NOT_FOUND".into(),
            Self::KeyRefused { .. } => "KEY_REFUSED".into(),
            Self::BadRequest { .. } => "BAD_REQUEST".into(),
            Self::RateLimited { .. } => "RATE_LIMITED".into(),
            Self::Http { status, .. } => format!("HTTP_{}", status.as_u16()),
            Self::Timeout { .. } => "TIMEOUT".into(),
            Self::Connection { .. } => "CONNECTION".into(),
            Self::Malformed { .. } => "MALFORMED_RESPONSE".into(),
            Self::TooLarge { .. } => "RESPONSE_TOO_LARGE".into(),
            Self::CircuitOpen { .. } => "CIRCUIT_OPEN".into(),
            Self::Pace(_) => "DATABASE".into(),
        }
    }

    /// Whether the same request may succeed within the minute.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Timeout { .. } | Self::Connection { .. } => true,
            Self::Http { status, .. } => {
                status.is_server_error()
                    || matches!(*status, StatusCode::REQUEST_TIMEOUT | StatusCode::LOCKED)
            }
            Self::SeriesNotFound { .. }
            | Self::KeyRefused { .. }
            | Self::BadRequest { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::CircuitOpen { .. }
            | Self::Pace(_) => false,
        }
    }

    /// Whether FRED keeps no past values of the series, and so refuses every question about them.
    pub(crate) fn is_unarchived(&self) -> bool {
        matches!(self, Self::BadRequest { message } if message.contains(UNARCHIVED))
    }

    /// Whether FRED as a whole seems to be out of order, rather than this request. A page about
    /// maintenance comes with status 200.
    pub(crate) fn is_outage(&self) -> bool {
        self.is_retryable() || matches!(self, Self::Malformed { .. })
    }
}

/// An error that remained after every attempt.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct FredFailure {
    /// The error of the last attempt.
    #[source]
    pub error: FredError,
    /// How many requests were made in vain.
    pub attempts: u32,
}
