//! What is refused, in the words of gRPC.

use std::collections::HashMap;

use service::rest::{Problem, ProblemKind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "atlas.events";

/// The same refusal as REST has.
pub(super) fn refuse(problem: Problem) -> Status {
    let kind = problem.kind();
    let mut details = ErrorDetails::new();
    let reason = kind.name().replace('-', "_").to_uppercase();
    details.set_error_info(reason, DOMAIN, HashMap::new());
    for error in problem.errors() {
        details.add_bad_request_violation(error.field.clone(), error.problem.clone());
    }
    Status::with_error_details(code(kind), problem.detail(), details)
}

fn code(kind: ProblemKind) -> Code {
    use ProblemKind as P;
    match kind {
        P::InvalidRequest | P::InvalidEvent | P::BeyondHead | P::UnsupportedMediaType => {
            Code::InvalidArgument
        }
        P::Unauthenticated => Code::Unauthenticated,
        P::Forbidden => Code::PermissionDenied,
        P::RateLimited | P::TooLarge => Code::ResourceExhausted,
        P::NotFound => Code::NotFound,
        P::MethodNotAllowed => Code::Unimplemented,
        P::SeriesExists => Code::AlreadyExists,
        P::Conflict => Code::Aborted,
        P::Trimmed => Code::OutOfRange,
        P::Internal => Code::Internal,
        P::BodyTimedOut | P::TimedOut => Code::DeadlineExceeded,
        P::SourceFailed
        | P::NotCollecting
        | P::Overloaded
        | P::Stopped
        | P::ShuttingDown
        | P::DatabaseUnavailable
        | P::LogUnverified
        | P::OutcomeUnknown => Code::Unavailable,
    }
}
