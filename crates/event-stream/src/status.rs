//! What errors look like on the wire: a code, a sentence, the field, and a stable reason.
//!
//! The words of the database go to the log of the process and never to a client.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use access::{BytesSpent, Denied};
use atlas_events::{MESSAGE_BYTES_MAX, PublishRefusal, Violation, clip};
use event_log::{LogError, Unverified};
use http::Response;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::{error, warn};

const DOMAIN: &str = "atlas.events";
/// At most this many characters of a message, and of a field's path: both may repeat what a client
/// sent, and a status travels in headers, where it holds them twice.
const MESSAGE_CHARS_MAX: usize = 1_000;
const FIELD_CHARS_MAX: usize = 200;
/// When to try again what found no memory.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// In the transport's words for a message that is said to be compressed by nothing.
const NO_ENCODING: &str = "compressed-flag but no grpc-encoding";

/// An error as a client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    code: Code,
    reason: &'static str,
    field: String,
    message: String,
    /// Facts for programs, such as `first_position`.
    facts: Vec<(&'static str, String)>,
    /// When to try again, where that is known.
    retry_after: Option<Duration>,
    /// Whether a refused publish is known to have stored nothing.
    definitely_not_stored: bool,
}

impl Refusal {
    pub(crate) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            field: String::new(),
            message: message.into(),
            facts: Vec::new(),
            retry_after: None,
            definitely_not_stored: true,
        }
    }

    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    pub(crate) fn with(mut self, fact: &'static str, value: impl ToString) -> Self {
        self.facts.push((fact, value.to_string()));
        self
    }

    /// A request that breaks a rule.
    pub(crate) fn invalid(violation: Violation) -> Self {
        Self::new(
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            violation.to_string(),
        )
        .at(violation.field)
    }

    /// A call that its caller may not make.
    pub(crate) fn denied(denied: Denied) -> Self {
        let code = match denied {
            Denied::Unauthenticated | Denied::Ended => Code::Unauthenticated,
            Denied::Scope(_)
            | Denied::Beyond { .. }
            | Denied::NoSeries { .. }
            | Denied::NoFilter
            | Denied::Limited
            | Denied::NoRule => Code::PermissionDenied,
            Denied::TooFast { .. }
            | Denied::TooMany { .. }
            | Denied::TooLarge { .. }
            | Denied::TooManyStreams { .. } => Code::ResourceExhausted,
        };
        let refusal = Self::new(code, denied.reason(), denied.to_string());
        let refusal = match &denied {
            Denied::Scope(scope) => refusal.with("scope", scope),
            _ => refusal,
        };
        Self {
            field: denied.field().unwrap_or_default().to_owned(),
            retry_after: denied.retry_after(),
            ..refusal
        }
    }

    /// A message that is longer than its call allows.
    pub(crate) fn message_too_large(bytes_max: usize) -> Self {
        let message = format!("the request message is over the limit of {bytes_max} bytes");
        Self::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message)
            .with("message_bytes_max", bytes_max)
    }

    /// A message that is not complete in time.
    pub(crate) fn message_late(timeout: Duration) -> Self {
        let seconds = timeout.as_secs_f64();
        let message = format!("the request message was not complete within {seconds} s");
        Self::new(Code::DeadlineExceeded, "MESSAGE_TIMED_OUT", message)
    }

    /// A message for which there is no memory at present.
    pub(crate) fn bytes_spent(spent: BytesSpent) -> Self {
        let message = format!("{spent}; nothing was stored, try again");
        let refusal = Self::new(Code::ResourceExhausted, "TOO_MANY_BYTES", message);
        let refusal = refusal
            .with("limited", spent.name)
            .with("bytes_max", spent.bytes_max);
        Self {
            retry_after: Some(RETRY_AFTER),
            ..refusal
        }
    }

    /// A part of a stream for which there is no memory at present.
    pub(crate) fn answers_spent(spent: BytesSpent) -> Self {
        let message = format!("{spent}; resume after the last position received");
        Self {
            message,
            ..Self::bytes_spent(spent)
        }
    }

    /// Something that the log could not do; `doing` names it in the log of the process.
    pub(crate) fn from_log(failure: LogError, doing: &'static str) -> Self {
        let final_refusal = !failure.is_transient();
        match failure {
            LogError::TooOld { index, earliest } => Self::invalid(Violation::new(
                format!("events[{index}].occurred_at"),
                format!("is older than the log keeps; the oldest it accepts is {earliest}"),
            )),
            LogError::Trimmed {
                after,
                first_position,
            } => Self::new(
                Code::OutOfRange,
                "TRIMMED",
                format!(
                    "retention has removed events after position {after}; the first that remains \
                     is {first_position}, to be read with after_position {}",
                    first_position - 1
                ),
            )
            .at("after_position")
            .with("first_position", first_position),
            LogError::TrimmedTime {
                since,
                kept_since,
                first_position,
            } => Self::new(
                Code::OutOfRange,
                "TRIMMED",
                format!(
                    "retention has removed events that occurred since {since}; all are kept since \
                     {kept_since}, and the first position that remains is {first_position}"
                ),
            )
            .at("start_from")
            .with("first_position", first_position)
            .with("kept_since", kept_since.to_rfc3339()),
            LogError::BeyondHead {
                after,
                last_position,
            } => Self::new(
                Code::OutOfRange,
                "BEYOND_HEAD",
                format!("position {after} lies beyond the last one, {last_position}"),
            )
            .at("after_position")
            .with("last_position", last_position),
            LogError::Hole { after } => {
                error!(after, doing, "the stored log has a hole");
                Self::new(
                    Code::DataLoss,
                    "HOLE",
                    format!("the stored log has a hole after position {after}"),
                )
                .with("after_position", after)
            }
            LogError::Overloaded => Self::new(
                Code::ResourceExhausted,
                "OVERLOADED",
                "too many events are waiting to be stored; nothing was stored, try again later",
            ),
            LogError::PrecedingNotStored => Self::new(
                Code::Unavailable,
                "PRECEDING_NOT_STORED",
                "a batch before this one on the stream was not stored, nor was this one",
            ),
            LogError::Closed => Self::new(
                Code::Unavailable,
                "SHUTTING_DOWN",
                "the server is shutting down",
            ),
            LogError::Unverified(reason) => Self::unverified(reason),
            LogError::OutcomeUnknown(source) => {
                warn!(%source, doing, "the outcome of a commit is unknown");
                let message = "the connection to the database was lost during the commit; publish \
                               again with the same event ids to find out";
                let refusal = Self::new(Code::Unavailable, "OUTCOME_UNKNOWN", message);
                Self {
                    definitely_not_stored: false,
                    ..refusal
                }
            }
            LogError::Database(source) if final_refusal => {
                error!(%source, doing, "the database refused an event that passed the checks");
                let message = "the database refuses the batch; nothing was stored";
                Self::new(Code::Internal, "REFUSED_BY_DATABASE", message)
            }
            LogError::Database(source) => {
                warn!(%source, doing, "the database failed");
                let message = "the database failed; nothing was stored, try again";
                Self::new(Code::Unavailable, "NOT_STORED", message)
            }
            LogError::ExtensionMissing { .. }
            | LogError::Unsupported { .. }
            | LogError::SchemaName(_)
            | LogError::Session(_)
            | LogError::Migration(_) => {
                error!(%failure, doing, "the log is not usable");
                Self::new(Code::Internal, "INTERNAL", "the log is not usable")
            }
        }
    }

    /// What the log is not vouched for. Nothing was stored.
    fn unverified(reason: Unverified) -> Self {
        let message = reason.to_string();
        match reason {
            Unverified::WentBack {
                position,
                last_position,
            } => Self::new(Code::FailedPrecondition, "LOG_WENT_BACK", message)
                .with("known_position", position)
                .with("last_position", last_position),
            Unverified::Replaced { log_id } => {
                Self::new(Code::FailedPrecondition, "LOG_REPLACED", message).with("log_id", log_id)
            }
            Unverified::NotDurable { setting } => {
                Self::new(Code::FailedPrecondition, "NOT_DURABLE", message).with("setting", setting)
            }
            Unverified::OutOfContact { .. } => {
                Self::new(Code::Unavailable, "DATABASE_UNAVAILABLE", message)
            }
        }
    }

    /// The same for a read, where nothing was to be stored.
    pub(crate) fn from_read(failure: LogError, doing: &'static str) -> Self {
        let refusal = Self::from_log(failure, doing);
        match refusal.reason {
            "NOT_STORED" => {
                let message = "the database failed; resume after the last position received";
                Self {
                    reason: "DATABASE_UNAVAILABLE",
                    message: message.to_owned(),
                    ..refusal
                }
            }
            _ => refusal,
        }
    }

    /// As it may travel.
    fn bounded(mut self) -> Self {
        bound(&mut self.message, MESSAGE_CHARS_MAX);
        bound(&mut self.field, FIELD_CHARS_MAX);
        self
    }

    pub(crate) fn into_status(self) -> Status {
        self.into_status_with(std::iter::empty())
    }

    /// With what has to be otherwise for the call to succeed: kind, subject, and a sentence.
    pub(crate) fn into_status_with(
        self,
        failed: impl Iterator<Item = (&'static str, String, String)>,
    ) -> Status {
        self.bounded().status(failed)
    }

    fn status(self, failed: impl Iterator<Item = (&'static str, String, String)>) -> Status {
        let mut details = ErrorDetails::new();
        let named = |(fact, value): (&str, String)| (fact.to_owned(), value);
        let facts: HashMap<_, _> = self.facts.into_iter().map(named).collect();
        details.set_error_info(self.reason, DOMAIN, facts);
        if !self.field.is_empty() {
            details.add_bad_request_violation(self.field, self.message.clone());
        }
        for (kind, subject, description) in failed {
            details.add_precondition_failure_violation(kind, subject, description);
        }
        if self.retry_after.is_some() {
            details.set_retry_info(self.retry_after);
        }
        Status::with_error_details(self.code, self.message, details)
    }

    /// The answer within a publish stream.
    pub(crate) fn into_message(self) -> PublishRefusal {
        let refusal = self.bounded();
        PublishRefusal {
            code: refusal.code as i32,
            reason: refusal.reason.to_owned(),
            field: refusal.field,
            message: refusal.message,
            definitely_not_stored: refusal.definitely_not_stored,
        }
    }

    pub(crate) fn reason(&self) -> &'static str {
        self.reason
    }
}

fn bound(text: &mut String, chars_max: usize) {
    if let Cow::Owned(clipped) = clip(text, chars_max) {
        *text = clipped;
    }
}

/// A status of the transport's own about a request, in this contract's words. The transport calls a
/// message over the limit, `bytes_max`, `OUT_OF_RANGE`, which here is about cursors, and one that
/// cannot be decoded `INTERNAL`, which clients retry.
pub(crate) fn unreadable(status: Status, bytes_max: usize) -> Status {
    match refusal_of_unreadable(&status, bytes_max) {
        Some(refusal) => refusal.into_status(),
        None => status,
    }
}

/// What [`unreadable`] makes of a status; `None` if it stays as it is.
pub(crate) fn refusal_of_unreadable(status: &Status, bytes_max: usize) -> Option<Refusal> {
    // What was refused in this contract's words has details.
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        Code::OutOfRange => Some(Refusal::message_too_large(bytes_max)),
        // What the protocol itself wants to be internal.
        Code::Internal if status.message().contains(NO_ENCODING) => None,
        Code::Internal => {
            let message = format!("the request cannot be decoded: {}", status.message());
            Some(Refusal::new(Code::InvalidArgument, "MALFORMED", message))
        }
        _ => None,
    }
}

/// The layer that puts the transport's own statuses of unary calls into this contract's words.
pub(crate) fn in_our_words(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) => match refusal_of_unreadable(&status, MESSAGE_BYTES_MAX) {
            Some(refusal) => refusal.into_status().into_http(),
            None => response,
        },
        None => response,
    }
}
