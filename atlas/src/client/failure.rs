//! Why a command ended early, in words and as an exit code.

use std::error::Error;

use tonic::{Code, Status};
use tonic_types::StatusExt;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Usage(String),
    /// What was to be published cannot be read.
    #[error("{0}")]
    Input(String),
    #[error("cannot reach {server}: {reason}")]
    Unreachable { server: String, reason: String },
    /// Its certificate cannot be trusted, which trying again does not change.
    #[error("cannot trust {server}: {reason}")]
    Untrusted { server: String, reason: String },
    #[error("{}", describe(.0))]
    Status(Box<Status>),
    /// REST refused, or did not answer.
    #[error("{detail}")]
    Rest {
        /// Of the answer; `None`: there was none.
        status: Option<u16>,
        detail: String,
    },
    /// Events are missing.
    #[error("{0}")]
    Gap(String),
    #[error(
        "the outcome is unknown after {attempts} attempts: {}; publish again with the same ids to find out",
        describe(status)
    )]
    OutcomeUnknown { attempts: u32, status: Box<Status> },
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl Failure {
    pub(crate) fn unreachable(server: &str, error: &(dyn Error + 'static)) -> Self {
        let (server, reason) = (server.to_owned(), innermost(error));
        match is_about_a_certificate(error) {
            true => Self::Untrusted { server, reason },
            false => Self::Unreachable { server, reason },
        }
    }

    /// Whether trying again later may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status(status) => is_transient(status),
            _ => false,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Untrusted { .. } => 3,
            Self::Rest { status, .. } => match status {
                None | Some(429 | 502..=504) => 3,
                Some(404) => 4,
                Some(_) => 1,
            },
            Self::Gap(_) => 5,
            Self::OutcomeUnknown { .. } => 6,
            Self::Status(status) => match status.code() {
                Code::NotFound => 4,
                Code::OutOfRange | Code::FailedPrecondition | Code::DataLoss => 5,
                _ if is_transient(status) => 3,
                _ => 1,
            },
        }
    }
}

/// A connection that breaks shows as any of these, depending on where it broke.
pub(crate) fn is_transient(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable
        | Code::Unknown
        | Code::Cancelled
        | Code::Internal
        | Code::Aborted
        | Code::DeadlineExceeded => true,
        // Too busy passes; too large does not.
        Code::ResourceExhausted => !reason(status).ends_with("TOO_LARGE"),
        Code::Ok
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// The stable reason that the server gave; empty if none.
pub(crate) fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// Code, message, and from the details the reason and the fields at fault.
pub(crate) fn describe(status: &Status) -> String {
    let mut text = format!("{}: {}", name(status.code()), status.message());
    if let Some(cause) = status.source() {
        text = format!("{text} ({})", innermost(cause));
    }
    let violations = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default();
    for violation in violations {
        text.push_str(&format!("\n  field {}", violation.field));
        if violation.description != status.message() {
            text.push_str(&format!(": {}", violation.description));
        }
    }
    if let Some(info) = status.get_details_error_info() {
        text.push_str(&format!("\n  reason {}", info.reason));
        let mut metadata: Vec<_> = info.metadata.into_iter().collect();
        metadata.sort_unstable();
        for (key, value) in metadata {
            text.push_str(&format!("\n  {key} {value}"));
        }
    }
    text
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

fn is_about_a_certificate(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let wrapped = error.downcast_ref::<std::io::Error>();
        let wrapped = wrapped.and_then(|error| error.get_ref()?.downcast_ref());
        if let Some(rustls::Error::InvalidCertificate(_)) = wrapped {
            return true;
        }
        next = error.source();
    }
    false
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn field_and_reason_of_the_details_are_shown() {
        let mut details = ErrorDetails::new();
        details
            .add_bad_request_violation("events[3].occurred_at", "is too old")
            .set_error_info(
                "INVALID_EVENT",
                "atlas.events",
                [("limit".into(), "9".into())],
            );
        let status = Status::with_error_details(Code::InvalidArgument, "refused", details);
        let failure = Failure::from(status);
        let text = failure.to_string();
        for part in [
            "INVALID_ARGUMENT: refused",
            "field events[3].occurred_at: is too old",
            "reason INVALID_EVENT",
            "limit 9",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert_eq!(failure.exit_code(), 1);
        assert!(!failure.is_transient());
    }

    #[test]
    fn exit_codes_distinguish_failures() {
        let code = |code: Code| Failure::from(Status::new(code, "")).exit_code();
        assert_eq!(code(Code::Unavailable), 3);
        assert_eq!(code(Code::NotFound), 4);
        assert_eq!(code(Code::OutOfRange), 5);
        assert_eq!(code(Code::PermissionDenied), 1);
    }
}
