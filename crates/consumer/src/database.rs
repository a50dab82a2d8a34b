//! The tables, in the schema of the service.

use std::{io, time::Duration};

use sqlx::{PgPool, migrate::Migrator};
use tokio::time::timeout;

static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("consumer_migrations"),
    ..sqlx::migrate!("../../migrations/consumer")
};

/// Brings the tables to this version.
pub(crate) async fn migrate(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    MIGRATOR.run(pool).await
}

/// Bounds a statement on a connection of a pool. A link that swallows what is sent ends nothing: dropped
/// unanswered, the connection is closed by the pool.
///
/// # Errors
/// Those of the statement, or [`sqlx::Error::Io`] that says that time was over.
pub(crate) async fn within<T>(
    limit: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match timeout(limit, statement).await {
        Ok(answered) => answered,
        Err(_) => Err(no_answer()),
    }
}

/// What is said of a server that has not answered in time.
pub(crate) fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(
        io::ErrorKind::TimedOut,
        "the database server does not answer in time",
    ))
}

/// A position as the database returns it: never negative.
pub(crate) fn position(stored: i64) -> u64 {
    stored.unsigned_abs()
}

/// A position as the database stores it. A log of one event a nanosecond reaches the end of the
/// type after 292 years.
pub(crate) fn stored(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}
