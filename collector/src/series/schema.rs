use sqlx::{
    PgPool,
    migrate::{MigrateError, Migrator},
};

/// Migrations of what the collector keeps beside its log: series, pace and observations.
pub(crate) static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("collector_migrations"),
    ..sqlx::migrate!("../migrations/collector")
};

/// Brings the collector's own tables (series, pace, observations) to this version, in the schema
/// that `pool` connects to. To be called before a log is opened with the projection of
/// [`crate::observations`].
///
/// # Errors
/// If a migration fails, or the database is of a newer version.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    event_log::run_migrations(pool, &MIGRATOR).await
}
