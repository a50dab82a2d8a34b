//! What a session of ours is like, whatever lies between this process and the server.
//!
//! Settings travel in the startup packet. A connection pooler may drop them without a word, and then
//! the tables of every log would be made in `public`. So each new session is given its settings once
//! more, and is asked which schema it has come to.

use std::{str::FromStr, time::Duration};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, postgres::PgConnectOptions, raw_sql};
use tokio::time::timeout;

use crate::LogError;

/// After so long without an answer a server is as good as away: for connecting and for pings.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// So many connections storing events may take, besides those of the pool.
const STORING_MAX: u32 = 10;

/// What every session has. Times are here because a peer that is gone or frozen closes nothing, and
/// what it holds would keep others waiting for as long as TCP allows, which is hours.
const SETTINGS: [(&str, &str); 12] = [
    // Plans made for the values at hand open and lock only the chunks that these values reach; a
    // generic plan locks every chunk of the log at each execution.
    ("plan_cache_mode", "force_custom_plan"),
    ("jit", "off"),
    // Notices are for people at a terminal.
    ("client_min_messages", "error"),
    ("statement_timeout", "60s"),
    // The head is locked for milliseconds. Who holds it for longer without a word has stopped.
    ("idle_in_transaction_session_timeout", "5s"),
    // Sessions wait for events for as long as there are none, and for the head in their turn.
    ("idle_session_timeout", "0"),
    ("lock_timeout", "0"),
    // A statement that nobody waits for any more, because its client hung up, ends.
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "30s"),
];

/// What every session has whatever the database or the role is set to, since what is promised depends
/// on it: what is acknowledged was committed to disk (stronger settings are kept); who waits for the
/// head sees what the one before has committed. `transaction_timeout` came with PostgreSQL 17.
const PINNED: &str = "
    set_config('default_transaction_isolation', 'read committed', false),
    set_config('client_encoding', 'UTF8', false),
    set_config('timezone', 'UTC', false),
    case when current_setting('transaction_timeout', true) is not null
        then set_config('transaction_timeout', '0', false) end,
    case when current_setting('synchronous_commit') in ('off', 'local')
        then set_config('synchronous_commit', 'on', false) end";

/// Why a session cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum SessionProblem {
    /// It does not use the schema that it was configured for.
    #[error(
        "sessions use the schema {found} instead of {wanted}: either it was dropped, or a pooler \
         between here and the server (such as PgBouncer) does not keep settings of a session"
    )]
    Schema {
        /// The schema of the settings.
        wanted: String,
        /// The schema that the session works in.
        found: String,
    },
    /// The database cannot store every text.
    #[error(
        "the database's encoding is {0}, which cannot store every text: make one with \
         `create database … encoding 'UTF8' template template0`"
    )]
    Encoding(String),
    /// The server would refuse connections once they are needed.
    #[error(
        "the server lets this role have {allowed} connections, and up to {needed} may be needed: raise \
         the limit of the role, the database or the server (max_connections), or lower \
         database.connections_max"
    )]
    Few {
        /// As many as the limits of server, database and role allow, if nobody else has any.
        allowed: i64,
        /// The configured number, and what storing events may take besides.
        needed: i64,
    },
    /// What one session sets, another one meets.
    #[error(
        "the database address is a pooler that shares sessions among clients; set pool_mode = \
         session in PgBouncer for this database, or connect to the server directly"
    )]
    Shared,
}

/// How connections of an owner of a log are made: `schema` comes first in the search path, so that
/// the same statements serve every log of a database. Settings in the options of the URL win over
/// those that sessions have otherwise.
///
/// # Errors
/// [`LogError::SchemaName`], or [`LogError::Database`] for a URL that cannot be read.
pub fn connect_options(url: &str, schema: &str) -> Result<PgConnectOptions, LogError> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if schema.is_empty() || schema.len() > 63 || !schema.chars().all(lower) {
        return Err(LogError::SchemaName(schema.to_owned()));
    }
    let options = PgConnectOptions::from_str(url)?;
    let given: Vec<String> = settings(&options)
        .map(|(name, _)| name.to_owned())
        .collect();
    let is_ours = |(name, _): &(&str, &str)| !given.iter().any(|given| given == name);
    let search_path = [("search_path", format!("{schema},public"))];
    Ok(options
        .options(SETTINGS.into_iter().filter(is_ours))
        .options(search_path)
        .application_name(&format!("atlas {schema}")))
}

/// A session with the settings that `options` name, in at most [`CONNECT_TIMEOUT`].
///
/// # Errors
/// [`LogError::Database`] or [`LogError::Session`].
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, LogError> {
    within(CONNECT_TIMEOUT, async {
        let mut connection = PgConnection::connect_with(options).await?;
        settle(&mut connection, options).await?;
        Ok(connection)
    })
    .await
}

/// Gives a new session its settings, and checks that it works in its schema: one round trip.
///
/// # Errors
/// [`LogError::Database`] or [`LogError::Session`].
pub(crate) async fn settle(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<(), LogError> {
    let (found, encoding) = apply(connection, options).await?;
    if encoding != "UTF8" {
        return Err(LogError::Session(SessionProblem::Encoding(encoding)));
    }
    match wanted_schema(options) {
        Some(wanted) if wanted != found => {
            Err(LogError::Session(SessionProblem::Schema { wanted, found }))
        }
        _ => Ok(()),
    }
}

/// Gives a session its settings; the schema that it then works in, and the encoding of the database.
pub(super) async fn apply(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<(String, String), LogError> {
    let set: String = settings(options)
        .map(|(name, value)| format!("set {name} = {};", literal(name, value)))
        .collect();
    let statements = format!(
        "{set} select coalesce(current_schema()::text, ''), current_setting('server_encoding'), {PINNED}"
    );
    let row = raw_sql(AssertSqlSafe(statements))
        .fetch_one(connection)
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Refuses poolers that give the sessions of the server to a client for a transaction only.
///
/// # Errors
/// [`LogError::Session`] or [`LogError::Database`].
pub(super) async fn refuse_shared(
    first: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<(), LogError> {
    let mut second = within(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await?;
    // A pooler hands out the session that was used last. Once the second client is in a transaction
    // that is the session of the first, or the first one gets another.
    for _ in 0..3 {
        let before = backend(first, "").await?;
        let beside = backend(&mut second, "begin;").await?;
        // First, for where there is but one session the first client would wait for the second.
        if beside == before || backend(first, "").await? != before {
            return Err(LogError::Session(SessionProblem::Shared));
        }
        raw_sql("rollback").execute(&mut second).await?;
    }
    second.close().await?;
    Ok(())
}

/// Refuses a server, database or role that allows fewer connections than may be needed: reading would go
/// on, and storing events would fail.
///
/// # Errors
/// [`LogError::Session`] or [`LogError::Database`].
pub(super) async fn refuse_few(
    connection: &mut PgConnection,
    connections_max: u32,
) -> Result<(), LogError> {
    // Limits of roles and databases do not hold for a superuser; -1 is no limit.
    let row = raw_sql(
        "select least(
             current_setting('max_connections')::bigint
                 - current_setting('superuser_reserved_connections')::bigint,
             case when not rolsuper then nullif(rolconnlimit, -1) end,
             case when not rolsuper then nullif(datconnlimit, -1) end)
         from pg_roles, pg_database
         where rolname = session_user and datname = current_database()",
    )
    .fetch_one(connection)
    .await?;
    let (allowed, needed) = (row.try_get(0)?, i64::from(connections_max + STORING_MAX));
    match allowed < needed {
        true => Err(LogError::Session(SessionProblem::Few { allowed, needed })),
        false => Ok(()),
    }
}

/// The process of the server that serves a connection.
async fn backend(connection: &mut PgConnection, before: &'static str) -> Result<String, LogError> {
    let statements = format!("{before} select pg_backend_pid()::text");
    let row = raw_sql(AssertSqlSafe(statements))
        .fetch_one(connection)
        .await?;
    Ok(row.try_get(0)?)
}

/// Bounds an operation on a connection, for a network that swallows what is sent ends nothing. What it
/// worked on is then to be dropped; a connection of a [`crate::pool`] is closed with that.
///
/// # Errors
/// Those of the operation, or [`no_answer`].
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    operation: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match timeout(limit, operation).await {
        Ok(ended) => ended,
        Err(_) => Err(no_answer().into()),
    }
}

/// What is said of a server that has not answered in time: a [`sqlx::Error::Io`].
pub fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database server does not answer in time",
    ))
}

/// The settings that options have, `-c name=value` each; the last of a name wins, as it does in the
/// startup packet.
fn settings(options: &PgConnectOptions) -> impl Iterator<Item = (&str, &str)> {
    let words = options.get_options().unwrap_or_default().split(' ');
    words
        .filter_map(|word| word.split_once('='))
        .filter(|(name, value)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            // What is escaped (of the URL's own options) is left to the startup packet.
            !name.is_empty() && name.chars().all(plain) && !value.contains('\\')
        })
}

fn wanted_schema(options: &PgConnectOptions) -> Option<String> {
    let (_, path) = settings(options)
        .filter(|(name, _)| *name == "search_path")
        .last()?;
    Some(path.split(',').next()?.to_owned())
}

/// A value in SQL. A search path is a list of names; all else is one value.
fn literal(name: &str, value: &str) -> String {
    let quoted = |value: &str| format!("'{}'", value.replace('\'', "''"));
    match name {
        "search_path" => value.split(',').map(quoted).collect::<Vec<_>>().join(", "),
        _ => quoted(value),
    }
}
