//! The first connection, whose failures are what people meet when they set up a service,
//! and the log.

use std::{io, sync::Arc, time::Duration};

use event_log::{EventLog, LogConfig, LogError, Projection, Renewed};
use secrecy::ExposeSecret;
use sqlx::{ConnectOptions, Connection, PgPool};

use tracing::info;

use crate::{
    StartError,
    config::{DatabaseConfig, EventsConfig},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A server that takes longer to answer is not reachable.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Connects, and makes extension and schema if they are missing.
///
/// # Errors
/// [`StartError::Database`] or [`StartError::Log`].
pub async fn connect(config: &DatabaseConfig) -> Result<PgPool, StartError> {
    let url = config.url.expose_secret();
    let options = event_log::connect_options(url, &config.schema).map_err(log_refused)?;
    // A pool would try again until it runs out of time, and then not know why.
    match tokio::time::timeout(CONNECT_PATIENCE, options.connect()).await {
        Ok(Ok(connection)) => {
            let _ = connection.close().await;
        }
        Ok(Err(error)) => return Err(refused(error)),
        Err(_) => {
            return Err(StartError::Database {
                problem: format!(
                    "the database server does not answer within {} s",
                    CONNECT_PATIENCE.as_secs()
                ),
                advice: "check host and port of DATABASE_URL, and that nothing is in between",
                source: None,
            });
        }
    }
    event_log::connect(url, &config.schema, config.connections_max)
        .await
        .map_err(log_refused)
}

/// Opens the log of a service.
///
/// # Errors
/// [`StartError`].
pub async fn open_log(
    pool: &PgPool,
    config: &EventsConfig,
    projection: Option<Arc<dyn Projection>>,
) -> Result<EventLog, StartError> {
    let log_config = LogConfig {
        // The bounds of the setting keep the product within what a duration holds.
        retention: config
            .retention_days
            .map(|days| DAY * u32::try_from(days).unwrap_or(u32::MAX)),
        ring_bytes_max: config.ring_bytes_max,
        poll_interval: config.poll_interval,
        queue_events_max: config.queue_events_max,
        ..LogConfig::default()
    };
    let log = EventLog::open(pool.clone(), log_config, projection)
        .await
        .map_err(log_refused)?;
    info!(log_id = %log.log_id(), timescaledb = log.edition(), "log opened");
    Ok(log)
}

/// Gives the log of a service a new identity, after a restore; no process may have it open.
///
/// # Errors
/// [`StartError`].
pub async fn renew_log(config: &DatabaseConfig) -> Result<Renewed, StartError> {
    let pool = connect(config).await?;
    EventLog::renew_identity(&pool).await.map_err(log_refused)
}

/// A failure of the log before anything is served.
pub fn log_refused(error: LogError) -> StartError {
    match error {
        LogError::Database(error) => refused(error),
        LogError::Migration(error) => error.into(),
        error => StartError::Log(error),
    }
}

fn refused(error: sqlx::Error) -> StartError {
    let (problem, advice) = describe(&error);
    StartError::Database {
        problem,
        advice,
        source: Some(error),
    }
}

fn describe(error: &sqlx::Error) -> (String, &'static str) {
    match error {
        sqlx::Error::Database(refusal) => {
            let told = refusal.message();
            let code = refusal.code().unwrap_or_default();
            (format!("the database refuses: {told}"), advice(&code))
        }
        sqlx::Error::Io(error) => {
            let told = match error.kind() {
                io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
                _ => error.to_string(),
            };
            (
                format!("the database server cannot be reached: {told}"),
                "check host and port of DATABASE_URL, and that PostgreSQL runs (make db starts one)",
            )
        }
        sqlx::Error::Tls(error) => (
            format!("no secure connection to the database: {error}"),
            "check sslmode and the certificates that DATABASE_URL names",
        ),
        sqlx::Error::Configuration(_) => (
            "DATABASE_URL cannot be used".to_owned(),
            "give postgres://user:password@host:5432/database",
        ),
        error => (
            format!("the database cannot be used: {error}"),
            "check DATABASE_URL and the log of the database server",
        ),
    }
}

/// What to do about an SQLSTATE.
fn advice(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => {
            "check user and password (database.url, database.password_file: --print-config tells \
             what holds); a server keeps the password that its data was made with"
        }
        "3D000" => "create the database, or name another one in DATABASE_URL",
        "42501" => "grant the user what is missing, or let a user who may create it",
        "53300" => "raise max_connections of the server, or lower database.connections_max",
        "57P03" => "try again shortly",
        _ => "check DATABASE_URL and the log of the database server",
    }
}
