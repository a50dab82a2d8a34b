//! What errors look like: problem details (RFC 9457), always with the same members.

pub(crate) mod failure;

use std::borrow::Cow;

use access::Denied;
use atlas_events::{Violation, clip};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The media type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Seconds after which to try again what may then succeed.
const RETRY_AFTER_SECONDS: u32 = 1;
/// At most this many characters of a detail, which names all fields at fault.
const DETAIL_CHARS_MAX: usize = 10_000;
/// At most this many characters of what is wrong with one field.
const PROBLEM_CHARS_MAX: usize = 1_000;
/// At most this many characters of a field's path, and of the path that was asked for.
const PATH_CHARS_MAX: usize = 200;

/// Every kind of problem there is. A kind has one status and one `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// A field of the request is wrong.
    InvalidRequest,
    /// An event violates the contract.
    InvalidEvent,
    /// There is no valid token.
    Unauthenticated,
    /// The token does not extend to it.
    Forbidden,
    /// Too much in too short a time.
    RateLimited,
    /// A cursor lies beyond the log.
    BeyondHead,
    /// It is not there.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// The series is there already.
    SeriesExists,
    /// Not possible in the present state.
    Conflict,
    /// Retention has removed what was asked for.
    Trimmed,
    /// The body is too large.
    TooLarge,
    /// The body took too long.
    BodyTimedOut,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// A fault of the service.
    Internal,
    /// A source of data failed.
    SourceFailed,
    /// No source is asked.
    NotCollecting,
    /// Too much is waiting.
    Overloaded,
    /// It does nothing more until an operator decides.
    Stopped,
    /// The service is ending.
    ShuttingDown,
    /// The database failed.
    DatabaseUnavailable,
    /// The log is not the one that it was, or may lose what it stores.
    LogUnverified,
    /// What was to be stored may have been.
    OutcomeUnknown,
    /// The request took too long.
    TimedOut,
}

impl ProblemKind {
    /// Status, last part of `type`, and title.
    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidRequest => (S::BAD_REQUEST, "invalid-request", "Invalid request"),
            Self::InvalidEvent => (S::UNPROCESSABLE_ENTITY, "invalid-event", "Invalid event"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "unauthenticated", "Not authenticated"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "Not permitted"),
            Self::RateLimited => (S::TOO_MANY_REQUESTS, "rate-limited", "Too much at once"),
            Self::BeyondHead => (S::BAD_REQUEST, "beyond-head", "Cursor beyond the log"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
            ),
            Self::SeriesExists => (S::CONFLICT, "series-exists", "Series exists"),
            Self::Conflict => (S::CONFLICT, "conflict", "Not possible at present"),
            Self::Trimmed => (S::GONE, "trimmed", "Removed by retention"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "Body too large"),
            Self::BodyTimedOut => (S::REQUEST_TIMEOUT, "body-timed-out", "Body too slow"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "Unsupported media type",
            ),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::SourceFailed => (S::BAD_GATEWAY, "source-failed", "The source failed"),
            Self::NotCollecting => (S::SERVICE_UNAVAILABLE, "not-collecting", "Not collecting"),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "Overloaded"),
            Self::Stopped => (S::SERVICE_UNAVAILABLE, "stopped", "Stopped"),
            Self::ShuttingDown => (S::SERVICE_UNAVAILABLE, "shutting-down", "Shutting down"),
            Self::DatabaseUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "database-unavailable",
                "Database unavailable",
            ),
            Self::LogUnverified => (S::SERVICE_UNAVAILABLE, "log-unverified", "Log not verified"),
            Self::OutcomeUnknown => (S::SERVICE_UNAVAILABLE, "outcome-unknown", "Outcome unknown"),
            Self::TimedOut => (S::GATEWAY_TIMEOUT, "timed-out", "Timed out"),
        }
    }

    /// Status of the response.
    pub fn status(self) -> StatusCode {
        self.facts().0
    }

    /// Last part of `type`.
    pub fn name(self) -> &'static str {
        self.facts().1
    }

    fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Overloaded
                | Self::ShuttingDown
                | Self::DatabaseUnavailable
                | Self::OutcomeUnknown
                | Self::TimedOut
        )
    }
}

/// A field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Path of the field, such as `events[3].occurred_at`, or the name of a parameter.
    #[schema(example = "events[3].occurred_at")]
    pub field: String,
    /// What is wrong and what to do.
    #[schema(example = "is more than one hour ahead of the server's clock")]
    pub problem: String,
}

impl From<Violation> for FieldError {
    fn from(violation: Violation) -> Self {
        Self {
            field: violation.field,
            problem: violation.problem,
        }
    }
}

/// What went wrong with a request.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemKind,
    /// What happened this time, for people.
    detail: String,
    errors: Vec<FieldError>,
    facts: Map<String, Value>,
    retry_after_seconds: Option<u32>,
}

/// Problem details (RFC 9457). Some kinds have further members with facts for programs, such as
/// `first_position`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDetails<'a> {
    /// Stable name of the kind, `urn:atlas:problem:` and one of `invalid-request`,
    /// `invalid-event`, `unauthenticated`, `forbidden`, `rate-limited`, `beyond-head`, `not-found`, `method-not-allowed`, `series-exists`,
    /// `conflict`, `trimmed`, `too-large`, `body-timed-out`, `unsupported-media-type`, `internal`, `source-failed`,
    /// `not-collecting`, `overloaded`, `shutting-down`, `database-unavailable`, `outcome-unknown`,
    /// `timed-out`.
    #[schema(example = "urn:atlas:problem:invalid-event")]
    r#type: String,
    /// The kind, for people.
    #[schema(example = "Invalid event")]
    title: &'static str,
    /// The status of the response.
    #[schema(example = 422)]
    status: u16,
    /// What happened this time, for people.
    detail: &'a str,
    /// The path that was asked for.
    #[schema(example = "/v1/events")]
    instance: &'a str,
    /// Also in the header `x-request-id` and in the log of the service.
    request_id: &'a str,
    /// The fields at fault; empty if no field is.
    errors: &'a [FieldError],
    #[serde(flatten)]
    #[schema(ignore)]
    facts: &'a Map<String, Value>,
}

impl Problem {
    /// A problem without fields.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: clipped(detail.into(), DETAIL_CHARS_MAX),
            errors: Vec::new(),
            facts: Map::new(),
            retry_after_seconds: kind.is_transient().then_some(RETRY_AFTER_SECONDS),
        }
    }

    /// A problem with fields of the request; there is at least one.
    pub fn fields(kind: ProblemKind, errors: Vec<FieldError>) -> Self {
        let bounded = errors.into_iter().map(|error| FieldError {
            field: clipped(error.field, PATH_CHARS_MAX),
            problem: clipped(error.problem, PROBLEM_CHARS_MAX),
        });
        let errors: Vec<_> = bounded.collect();
        let messages: Vec<_> = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.problem))
            .collect();
        let problem = Self::new(kind, messages.join("; "));
        Self { errors, ..problem }
    }

    /// A problem with one field of the request.
    pub fn field(kind: ProblemKind, field: impl Into<String>, problem: impl Into<String>) -> Self {
        let (field, problem) = (field.into(), problem.into());
        Self::fields(kind, vec![FieldError { field, problem }])
    }

    /// What kind it is of.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// What happened this time, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The fields at fault.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// Adds a fact for programs.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The kind and the text for the client.
    fn details<'a>(&'a self, path: &'a str, request_id: &'a str) -> ProblemDetails<'a> {
        let (status, name, title) = self.kind.facts();
        ProblemDetails {
            r#type: format!("urn:atlas:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            instance: path,
            request_id,
            errors: &self.errors,
            facts: &self.facts,
        }
    }

    /// The response to the request for a path.
    pub fn render(&self, path: &str, request_id: &str) -> Response {
        let path = clip(path, PATH_CHARS_MAX);
        let details = Json(self.details(&path, request_id));
        let mut response = (self.kind.status(), details).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.kind == ProblemKind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What a client sent may be repeated to it, but not at any length.
fn clipped(text: String, chars_max: usize) -> String {
    match clip(&text, chars_max) {
        Cow::Owned(clipped) => clipped,
        Cow::Borrowed(_) => text,
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let kind = match denied {
            Denied::Unauthenticated | Denied::Ended => ProblemKind::Unauthenticated,
            Denied::Scope(_)
            | Denied::Beyond { .. }
            | Denied::NoSeries { .. }
            | Denied::NoFilter
            | Denied::Limited
            | Denied::NoRule => ProblemKind::Forbidden,
            Denied::TooMany { .. } | Denied::TooLarge { .. } => ProblemKind::TooLarge,
            Denied::TooFast { .. } | Denied::TooManyStreams { .. } => ProblemKind::RateLimited,
        };
        let detail = denied.to_string();
        let problem = match denied.field() {
            Some(field) => Self::field(kind, field, detail),
            None => Self::new(kind, detail),
        };
        let problem = problem.with("reason", denied.reason());
        let problem = match &denied {
            Denied::Scope(scope) => problem.with("scope", scope.name()),
            _ => problem,
        };
        // In whole seconds, so that it is never too early.
        let retry_after = denied
            .retry_after()
            .map(|after| after.as_secs_f64().ceil() as u32);
        Self {
            retry_after_seconds: retry_after.map(|seconds| seconds.max(1)),
            ..problem
        }
    }
}

/// Leaves the problem in the response's extensions: the outermost layer knows path and request id,
/// and renders it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn what_a_client_sent_is_not_repeated_at_any_length() {
        let long = "x".repeat(100_000);
        let field = FieldError {
            field: long.clone(),
            problem: format!("\"{long}\" is not known"),
        };
        let problem = Problem::fields(ProblemKind::InvalidRequest, vec![field; 3]);
        let serialized = serde_json::to_string(&problem.details("/", "1")).unwrap();
        assert!(serialized.len() < 10_000, "{}", serialized.len());
    }

    /// Checks the kind of a problem and that the client's text contains `words`.
    #[track_caller]
    pub(in crate::rest) fn check(problem: &Problem, kind: ProblemKind, words: &str) {
        assert_eq!(problem.kind, kind);
        let serialized = serde_json::to_string(&problem.details("/", "1")).unwrap();
        assert!(serialized.contains(words), "{serialized}");
        assert!(!serialized.contains("relation"), "{serialized}");
    }
}
