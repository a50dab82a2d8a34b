//! The first connection, whose failures are what people meet when they set up a service,
//! and the log.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use event_log::{EventLog, LogConfig, LogError, Projection, Renewed};
use secrecy::ExposeSecret;
use sqlx::{ConnectOptions, Connection, PgPool, postgres::PgConnectOptions};
use tracing::{info, warn};

use crate::{
    StartError,
    config::{DatabaseConfig, EventsConfig},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A server that takes longer to answer is not reachable.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited before a server is tried again; doubled each time, up to the second.
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(200);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Connects, and makes extension and schema if they are missing. A server that cannot be reached or
/// does not take connections yet is waited for, as long as the configuration says.
///
/// # Errors
/// [`StartError::Database`] or [`StartError::Log`].
pub async fn connect(config: &DatabaseConfig) -> Result<PgPool, StartError> {
    let url = config.url.expose_secret();
    let options = event_log::connect_options(url, &config.schema).map_err(log_refused)?;
    reach(&options, config.wait).await?;
    event_log::connect(url, &config.schema, config.connections_max)
        .await
        .map_err(log_refused)
}

/// Waits until the server takes a connection.
async fn reach(options: &PgConnectOptions, wait: Duration) -> Result<(), StartError> {
    let until = Instant::now() + wait;
    let mut pause = RETRY_PAUSE_MIN;
    loop {
        let (error, may_pass) = match reach_once(options).await {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        let left = until.saturating_duration_since(Instant::now());
        if !may_pass || left.is_zero() {
            return Err(error);
        }
        warn!(reason = %error, left_seconds = left.as_secs(), "waiting for the database");
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

/// Connects, or says why not, and whether that may pass by itself.
async fn reach_once(options: &PgConnectOptions) -> Result<(), (StartError, bool)> {
    // A pool would try again until it runs out of time, and then not know why.
    match tokio::time::timeout(CONNECT_PATIENCE, options.connect()).await {
        Ok(Ok(connection)) => {
            let _ = tokio::time::timeout(CONNECT_PATIENCE, connection.close()).await;
            Ok(())
        }
        Ok(Err(error)) => {
            let may_pass = may_pass(&error);
            Err((refused(error), may_pass))
        }
        Err(_) => {
            let error = StartError::Database {
                problem: format!(
                    "the database server does not answer within {} s",
                    CONNECT_PATIENCE.as_secs()
                ),
                advice: "check host and port of DATABASE_URL, and that nothing is in between",
                source: None,
            };
            Err((error, true))
        }
    }
}

/// A server that starts, stops, or is not there yet; not one that refuses for good.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(refusal) => {
            let code = refusal.code().unwrap_or_default();
            ["57P01", "57P02", "57P03", "53300"].contains(&code.as_ref())
        }
        _ => false,
    }
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
        retention: config.retention_days.map(days),
        compress_after: config.compress_after_days.map(days),
        ring_bytes_max: config.ring_bytes_max,
        poll_interval: config.poll_interval,
        contact_age_max: config.contact_age_max,
        on_history_change: config.on_history_change,
        queue_events_max: config.queue_events_max,
        keep_unregistered_types: config.unregistered_types,
        ..LogConfig::default()
    };
    let log = EventLog::open(pool.clone(), log_config, projection)
        .await
        .map_err(log_refused)?;
    info!(log_id = %log.log_id(), timescaledb = log.edition(), "log opened");
    Ok(log)
}

/// The bounds of the settings keep the product within what a duration holds.
fn days(days: u64) -> Duration {
    DAY * u32::try_from(days).unwrap_or(u32::MAX)
}

/// Gives the log of a service a new identity, after a restore. Processes that have it open end with a
/// message, to be started again.
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
            let reason = refusal.message();
            let code = refusal.code().unwrap_or_default();
            (format!("the database refuses: {reason}"), advice(&code))
        }
        sqlx::Error::Io(error) => {
            let reason = match error.kind() {
                io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
                _ => error.to_string(),
            };
            (
                format!("the database server cannot be reached: {reason}"),
                "check host and port of DATABASE_URL, and that PostgreSQL runs (make db starts one)",
            )
        }
        sqlx::Error::PoolTimedOut => (
            "the database server does not answer, or has no connection to spare".to_owned(),
            "check that it runs, its max_connections, and database.connections_max",
        ),
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
            "check user and password (database.url, database.password_file: --print-config shows \
             the settings in effect); a server keeps the password that its data was made with"
        }
        "3D000" => "create the database, or name another one in DATABASE_URL",
        "42501" => "grant the user what is missing, or let a user who may create it",
        "53300" => "raise max_connections of the server, or lower database.connections_max",
        "57P01" | "57P02" | "57P03" => "it starts or stops; try again shortly",
        _ => "check DATABASE_URL and the log of the database server",
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use secrecy::SecretString;
    use test_support::TestDatabase;
    use tokio::{
        io::copy_bidirectional,
        net::{TcpListener, TcpStream},
        time::timeout,
    };
    use url::Url;

    use super::*;

    fn config(url: &str, wait: Duration) -> DatabaseConfig {
        DatabaseConfig {
            url: SecretString::from(url),
            schema: "log".to_owned(),
            connections_max: 2,
            wait,
        }
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_yet_is_waited_for() {
        let database = TestDatabase::create().await;
        let server = PgConnectOptions::from_str(&database.url()).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut url = Url::parse(&database.url()).unwrap();
        url.set_port(Some(address.port())).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();

        let at_once = connect(&config(url.as_str(), Duration::ZERO)).await;
        let error = at_once.unwrap_err().to_string();
        assert!(error.contains("nothing listens there"), "{error}");

        let patient = config(url.as_str(), Duration::from_secs(30));
        let mut connecting = Box::pin(connect(&patient));
        let early = timeout(Duration::from_millis(300), &mut connecting).await;
        assert!(early.is_err(), "{early:?}");
        let listener = TcpListener::bind(address).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let server = (server.get_host().to_owned(), server.get_port());
                let mut server = TcpStream::connect(server).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        });
        connecting.await.unwrap();
    }
}
