//! The tables, in the schema of the service.

use sqlx::{PgPool, migrate::Migrator};

static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("consumer_migrations"),
    ..sqlx::migrate!("../../migrations/consumer")
};

/// Brings the tables to this version.
pub(crate) async fn migrate(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    event_log::run_migrations(pool, &MIGRATOR).await
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
