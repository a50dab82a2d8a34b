//! Connections and schema of the database.

use std::{str::FromStr, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    raw_sql,
};

use crate::LogError;

/// Migrations of the log, applied in the schema that owns it.
static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("event_log_migrations"),
    ..sqlx::migrate!("../../migrations/event-log")
};

/// How long a reader waits for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How connections of an owner of a log are made: `schema` comes first in the search path, so that
/// the same statements serve every log of a database.
///
/// # Errors
/// [`LogError::SchemaName`], or [`LogError::Database`] for a URL that cannot be read.
pub fn connect_options(url: &str, schema: &str) -> Result<PgConnectOptions, LogError> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if schema.is_empty() || schema.len() > 63 || !schema.chars().all(lower) {
        return Err(LogError::SchemaName(schema.to_owned()));
    }
    let options = PgConnectOptions::from_str(url)?.options([
        ("search_path", format!("{schema},public").as_str()),
        // Plans made for the values at hand open and lock only the chunks that these values reach;
        // a generic plan locks every chunk of the log at each execution.
        ("plan_cache_mode", "force_custom_plan"),
        ("statement_timeout", "60s"),
        ("jit", "off"),
        // `rollback` where there is nothing to roll back is no news; see `connect`.
        ("client_min_messages", "error"),
    ]);
    Ok(options.application_name(&format!("atlas {schema}")))
}

/// Connects and creates extension and schema if they are missing.
///
/// # Errors
/// [`LogError::ExtensionMissing`] with what to do, or [`LogError::Database`] if the server cannot
/// be reached or refuses.
pub async fn connect(url: &str, schema: &str, connections_max: u32) -> Result<PgPool, LogError> {
    let options = connect_options(url, schema)?;
    // Not through the pool, which hides why it cannot connect behind a timeout.
    let mut connection = PgConnection::connect_with(&options).await?;
    ensure_extension(&mut connection).await?;
    // The name was checked to be a plain identifier when the options were made.
    let create = format!("create schema if not exists {schema}");
    let created = sqlx::query(AssertSqlSafe(create))
        .execute(&mut connection)
        .await;
    ignore_race(created)?;
    connection.close().await?;
    Ok(PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // The library forgets a transaction whose `begin` was dropped before its answer, and what
        // the next user of the connection stores would be part of it and never be committed.
        .after_release(|connection, _| {
            Box::pin(async { Ok(raw_sql("rollback").execute(connection).await.is_ok()) })
        })
        .connect_lazy_with(options))
}

/// Whether a schema holds a log, for those who only want to read one: [`connect`] and
/// [`crate::EventLog::open`] make what is missing.
///
/// # Errors
/// [`LogError::SchemaName`] or [`LogError::Database`].
pub async fn holds_log(url: &str, schema: &str) -> Result<bool, LogError> {
    let options = connect_options(url, schema)?;
    let mut connection = PgConnection::connect_with(&options).await?;
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
    Ok(MIGRATOR.run(pool).await?)
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
