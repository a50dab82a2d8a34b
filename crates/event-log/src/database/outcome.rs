//! What became of a transaction whose end was not answered as it should be.

use std::time::Duration;

use sqlx::{PgConnection, raw_sql};
use tokio::time::timeout;

use crate::LogError;

/// How long the server may take to begin a transaction on an idle connection, or to undo one.
pub(crate) const IDLE_PATIENCE: Duration = Duration::from_secs(2);

/// Undoes a transaction; its connection, if it still works.
pub(crate) async fn rollback(mut connection: PgConnection) -> Option<PgConnection> {
    let rollback = raw_sql("rollback").execute(&mut connection);
    let undone = timeout(IDLE_PATIENCE, rollback).await;
    matches!(undone, Ok(Ok(_))).then_some(connection)
}

/// The server did not answer in time.
pub(crate) fn is_no_answer(error: &LogError) -> bool {
    match error {
        LogError::Database(sqlx::Error::Io(error))
        | LogError::OutcomeUnknown(sqlx::Error::Io(error)) => {
            error.kind() == std::io::ErrorKind::TimedOut
        }
        _ => false,
    }
}

/// A statement that commits may have committed, if the server does not answer.
pub(crate) fn unless_answered(error: LogError) -> LogError {
    match error {
        LogError::Database(error @ sqlx::Error::Io(_)) => LogError::OutcomeUnknown(error),
        other => other,
    }
}

/// The database undid the transaction, as one of several that waited for each other (SQLSTATE 40P01).
pub(crate) fn is_deadlock(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "40P01")
}

/// Nothing is stored without a commit, whatever became of a statement before it.
pub(crate) fn before_commit(error: LogError) -> LogError {
    match error {
        LogError::OutcomeUnknown(error) => LogError::Database(error),
        other => other,
    }
}

/// A commit is known to be undone only if the server says that it failed for the transaction's own
/// sake (SQLSTATE classes 22, 23, 25, 40). A server that is being stopped (class 57) may end a
/// connection after the commit, and one that does not answer may have committed.
pub(crate) fn outcome_of_commit(error: impl Into<LogError>) -> LogError {
    let error = match error.into() {
        LogError::Database(error) => error,
        other => return other,
    };
    let code = error
        .as_database_error()
        .and_then(|e| e.code())
        .unwrap_or_default();
    if ["22", "23", "25", "40"]
        .iter()
        .any(|class| code.starts_with(class))
    {
        LogError::Database(error)
    } else {
        LogError::OutcomeUnknown(error)
    }
}
