//! Which problem a failure of the log is. The database's own words go to the log of the process and
//! never to a client.

use atlas_events::Violation;
use chrono::{DateTime, SecondsFormat, Utc};
use event_log::{LogError, Unverified};
use sqlx::error::DatabaseError;
use tracing::{error, warn};

use crate::rest::problem::{Problem, ProblemKind};

impl From<LogError> for Problem {
    fn from(failure: LogError) -> Self {
        match failure {
            LogError::TooOld { index, earliest } => {
                too_old(format!("events[{index}].occurred_at"), earliest)
            }
            LogError::Trimmed {
                after,
                first_position,
            } => {
                let problem = format!(
                    "retention has removed events after position {after}; the first that remains \
                     is {first_position}, to be read with after_position={}",
                    first_position.saturating_sub(1)
                );
                Self::field(ProblemKind::Trimmed, "after_position", problem)
                    .with("first_position", first_position)
            }
            LogError::TrimmedTime {
                since,
                kept_since,
                first_position,
            } => {
                let (since, kept) = (rfc3339(since), rfc3339(kept_since));
                let problem = format!(
                    "retention has removed events that occurred since {since}; all are kept since \
                     {kept}"
                );
                Self::field(ProblemKind::Trimmed, "since", problem)
                    .with("first_position", first_position)
                    .with("kept_since", kept)
            }
            LogError::BeyondHead {
                after,
                last_position,
            } => {
                let problem = format!("{after} lies beyond the last position, {last_position}");
                Self::field(ProblemKind::BeyondHead, "after_position", problem)
                    .with("last_position", last_position)
            }
            LogError::Overloaded => Self::new(
                ProblemKind::Overloaded,
                "too many events are waiting to be stored; nothing was stored, try again later",
            ),
            LogError::PrecedingNotStored => Self::new(
                ProblemKind::DatabaseUnavailable,
                "a batch before this one was not stored, nor was this one; try again",
            ),
            LogError::Closed => Self::new(
                ProblemKind::ShuttingDown,
                "the service is shutting down; nothing was stored, try again",
            ),
            LogError::OutcomeUnknown(source) => {
                warn!(%source, "the outcome of a commit is unknown");
                Self::new(
                    ProblemKind::OutcomeUnknown,
                    "the connection to the database was lost during the commit; publish again with \
                     the same event ids to find out",
                )
            }
            LogError::Unverified(reason) => {
                let kind = match reason {
                    Unverified::OutOfContact { .. } => ProblemKind::DatabaseUnavailable,
                    Unverified::WentBack { .. }
                    | Unverified::Replaced { .. }
                    | Unverified::NotDurable { .. } => ProblemKind::LogUnverified,
                };
                Self::new(kind, reason.to_string())
            }
            LogError::Database(source) => Self::from(source),
            failure @ (LogError::Hole { .. }
            | LogError::ExtensionMissing { .. }
            | LogError::Unsupported { .. }
            | LogError::SchemaName(_)
            | LogError::Session(_)
            | LogError::Migration(_)) => {
                error!(%failure, "the log is not usable");
                Self::new(ProblemKind::Internal, "the stored log is not usable")
            }
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(source: sqlx::Error) -> Self {
        warn!(%source, "the database failed");
        let state = source.as_database_error().and_then(DatabaseError::code);
        // Class 22: the value that was asked for is none that it can hold.
        if state.is_some_and(|state| state.starts_with("22")) {
            let problem = "holds a value that cannot be looked up or stored";
            return Self::field(ProblemKind::InvalidRequest, "request", problem);
        }
        Self::new(
            ProblemKind::DatabaseUnavailable,
            "the database failed; nothing was stored, try again",
        )
    }
}

impl From<Violation> for Problem {
    fn from(violation: Violation) -> Self {
        Self::fields(ProblemKind::InvalidRequest, vec![violation.into()])
    }
}

/// An event is older than what the log keeps.
pub fn too_old(field: String, earliest: DateTime<Utc>) -> Problem {
    let earliest = rfc3339(earliest);
    let problem = format!("is older than the log keeps; the oldest it accepts is {earliest}");
    Problem::field(ProblemKind::InvalidEvent, field, problem).with("earliest_accepted", earliest)
}

/// A time as REST shows it.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::problem;

    #[track_caller]
    fn check(failure: LogError, kind: ProblemKind, words: &str) {
        problem::tests::check(&failure.into(), kind, words);
    }

    #[test]
    fn failures_of_the_log_are_distinguished() {
        let at = DateTime::UNIX_EPOCH;
        let database = || sqlx::Error::Protocol("relation \"x\" is broken".to_owned());
        check(
            LogError::Overloaded,
            ProblemKind::Overloaded,
            "nothing was stored",
        );
        check(
            LogError::Closed,
            ProblemKind::ShuttingDown,
            "nothing was stored",
        );
        check(
            LogError::OutcomeUnknown(database()),
            ProblemKind::OutcomeUnknown,
            "same event ids",
        );
        check(
            LogError::Database(database()),
            ProblemKind::DatabaseUnavailable,
            "nothing was stored",
        );
        let trimmed = LogError::Trimmed {
            after: 3,
            first_position: 9,
        };
        check(trimmed, ProblemKind::Trimmed, "\"first_position\":9");
        let trimmed = LogError::TrimmedTime {
            since: at,
            kept_since: at,
            first_position: 9,
        };
        let kept = "\"kept_since\":\"1970-01-01T00:00:00Z\"";
        check(trimmed, ProblemKind::Trimmed, kept);
        let beyond = LogError::BeyondHead {
            after: 9,
            last_position: 3,
        };
        check(beyond, ProblemKind::BeyondHead, "\"last_position\":3");
        let too_old = LogError::TooOld {
            index: 2,
            earliest: at,
        };
        check(too_old, ProblemKind::InvalidEvent, "events[2].occurred_at");
        check(
            LogError::Hole { after: 3 },
            ProblemKind::Internal,
            "internal",
        );
    }
}
