//! Pooled connections: what is done to one before it is lent, and before it is lent again.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
    raw_sql,
};
use tokio::time::timeout;

use super::session;
use crate::LogError;

/// How long whoever asks for a connection waits for it.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the server may take to answer before a connection is given up.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a transaction is open that an earlier statement began: the transaction of a statement
/// alone begins with the statement. Unlike a rollback it leaves no warning in the server's log.
const IS_IDLE: &str = "select now() = statement_timestamp()";

/// Connections for the schema that `options` name ([`crate::connect_options`]), which has to exist;
/// none is made before it is wanted.
///
/// A connection that does not answer within two seconds is closed, be it one that is to be lent or
/// one that comes back: its place in the pool is free then. That holds but for a moment: after our own test of one that
/// comes back the library makes another, without a bound, and a connection that falls silent between the two keeps its
/// place until the link is closed.
pub fn pool(options: PgConnectOptions, connections_max: u32) -> PgPool {
    let settings = Arc::new(options.clone());
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            let settings = Arc::clone(&settings);
            Box::pin(async move {
                let settling = session::settle(connection, &settings);
                session::within(session::CONNECT_TIMEOUT, settling)
                    .await
                    .map_err(as_sqlx)
            })
        })
        // In place of the library's own, which waits for as long as the server is silent.
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            Box::pin(async { within(connection.ping()).await.map(|()| true) })
        })
        // The library forgets a transaction whose `begin` was dropped before its answer, and what
        // the next user of the connection stores would be part of it and never be committed.
        .after_release(|connection, _| Box::pin(within(is_idle(connection))))
        .connect_lazy_with(options)
}

async fn is_idle(connection: &mut PgConnection) -> sqlx::Result<bool> {
    raw_sql(IS_IDLE).fetch_one(connection).await?.try_get(0)
}

async fn within<T>(asking: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    match timeout(PING_TIMEOUT, asking).await {
        Ok(answered) => answered,
        Err(_) => Err(session::no_answer()),
    }
}

fn as_sqlx(error: LogError) -> sqlx::Error {
    match error {
        LogError::Database(error) => error,
        other => sqlx::Error::Configuration(other.into()),
    }
}
