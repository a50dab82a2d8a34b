//! Connections and schema of the database.

pub(crate) mod connections;
mod deadline;
pub(crate) mod outcome;
mod pool;
mod session;
mod stalled;

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

use crate::LogError;

pub(crate) use deadline::Deadline;
pub use pool::pool;
pub(crate) use session::{CONNECT_TIMEOUT, connect as connect_session};
pub use session::{SessionProblem, connect_options, no_answer, within};
pub(crate) use stalled::end_stalled;

/// Migrations of the log, applied in the schema that owns it.
static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("event_log_migrations"),
    ..sqlx::migrate!("../../migrations/event-log")
};

/// Connects and creates extension and schema if they are missing; at most `connections_max`
/// connections are kept. Further pools for the same schema are made by [`pool`].
///
/// # Errors
/// [`LogError::ExtensionMissing`] with what to do, [`LogError::Session`] if sessions do not keep what
/// a log needs, or [`LogError::Database`] if the server cannot be reached or refuses.
pub async fn connect(url: &str, schema: &str, connections_max: u32) -> Result<PgPool, LogError> {
    let options = connect_options(url, schema)?;
    // Not through the pool, which hides why it cannot connect behind a timeout.
    let mut connection = open(&options).await?;
    ensure_extension(&mut connection).await?;
    // The name was checked to be a plain identifier when the options were made; it may be a word of SQL.
    let create = format!("create schema if not exists \"{schema}\"");
    let created = sqlx::query(AssertSqlSafe(create))
        .execute(&mut connection)
        .await;
    ignore_race(created)?;
    session::settle(&mut connection, &options).await?;
    session::refuse_few(&mut connection, connections_max).await?;
    let looking = session::refuse_shared(&mut connection, &options);
    within(session::CONNECT_TIMEOUT, looking).await?;
    connection.close().await?;
    Ok(pool(options, connections::pooled(connections_max)))
}

/// A session whose schema may not exist yet.
async fn open(options: &PgConnectOptions) -> Result<PgConnection, LogError> {
    within(session::CONNECT_TIMEOUT, async {
        let mut connection = PgConnection::connect_with(options).await?;
        session::apply(&mut connection, options).await?;
        Ok(connection)
    })
    .await
}

/// Whether a schema holds a log, for those who only want to read one: [`connect`] and
/// [`crate::EventLog::open`] make what is missing.
///
/// # Errors
/// [`LogError::SchemaName`] or [`LogError::Database`].
pub async fn holds_log(url: &str, schema: &str) -> Result<bool, LogError> {
    let options = connect_options(url, schema)?;
    let mut connection = open(&options).await?;
    let found = sqlx::query_scalar!(
        r#"select to_regclass($1 || '.log_head') is not null as "found!""#,
        schema
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(found)
}

async fn ensure_extension(connection: &mut PgConnection) -> Result<(), LogError> {
    let present = sqlx::query_scalar!(
        r#"select exists (select from pg_extension where extname = 'timescaledb') as "present!""#
    )
    .fetch_one(&mut *connection)
    .await?;
    if present {
        return Ok(());
    }
    let created = sqlx::query("create extension if not exists timescaledb")
        .execute(connection)
        .await;
    match ignore_race(created) {
        Err(LogError::Database(sqlx::Error::Database(error))) => Err(LogError::ExtensionMissing {
            reason: error.message().to_owned(),
        }),
        other => other,
    }
}

/// `create … if not exists` fails on a unique index of the catalogue when two processes start at
/// once; the loser finds what it wanted.
fn ignore_race(
    created: Result<sqlx::postgres::PgQueryResult, sqlx::Error>,
) -> Result<(), LogError> {
    match created {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(()),
        other => other.map(drop).map_err(LogError::from),
    }
}

/// Brings the log's tables to this version.
///
/// # Errors
/// [`LogError::Migration`], also when the database is of a newer version.
pub(crate) async fn migrate(pool: &PgPool) -> Result<(), LogError> {
    Ok(run_migrations(pool, &MIGRATOR).await?)
}

/// Brings the tables of an owner to its version.
///
/// Whoever migrates holds a lock that others wait for at their start. The server ends the session of a
/// process that is frozen or cut off meanwhile.
///
/// # Errors
/// [`MigrateError`], also when the database is of a newer version.
pub async fn run_migrations(pool: &PgPool, migrator: &Migrator) -> Result<(), MigrateError> {
    let options = PgConnectOptions::clone(&pool.connect_options());
    let options = options.options([("idle_session_timeout", "10s")]);
    let session = self::pool(options, 1);
    let migrated = migrator.run(&session).await;
    session.close().await;
    migrated
}

/// The schema that holds the log.
///
/// # Errors
/// [`LogError::Database`].
pub(crate) async fn schema(pool: &PgPool) -> Result<String, LogError> {
    let schema = sqlx::query_scalar!(r#"select current_schema::text as "schema!""#)
        .fetch_one(pool)
        .await?;
    Ok(schema)
}
