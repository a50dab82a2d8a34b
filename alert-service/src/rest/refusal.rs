//! Refusals that several routes share, in the same words.

use service::rest::{FieldError, Problem, ProblemKind};

/// What is not there, or not theirs, in the same words.
pub(super) fn absent(what: &str, id: &str) -> Problem {
    Problem::field(
        ProblemKind::NotFound,
        "id",
        format!("there is no {what} {id}"),
    )
}

/// Somebody has changed it meanwhile.
pub(super) fn conflict(given: i64, version: i64) -> Problem {
    let detail = format!("version {given} was changed meanwhile; it is at version {version} now");
    Problem::new(ProblemKind::Conflict, detail).with("version", version)
}

/// Refuses a request with everything that is wrong with it: fields and problems.
pub(super) fn refuse_if_any(problems: Vec<(String, String)>) -> Result<(), Problem> {
    if problems.is_empty() {
        return Ok(());
    }
    let errors = problems
        .into_iter()
        .map(|(field, problem)| FieldError { field, problem });
    Err(Problem::fields(
        ProblemKind::InvalidRequest,
        errors.collect(),
    ))
}
