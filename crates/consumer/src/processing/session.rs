//! The connection on which batches are processed.

use std::time::Duration;

use event_log::{no_answer, within};
use sqlx::{Connection, PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::time::sleep;

/// Keeps one connection of a pool from batch to batch. A pool asks a connection whether it lives each
/// time it gives it out, and clears it up each time it gets it back: two round trips more for each
/// batch.
#[derive(Debug)]
pub(crate) struct Session {
    pool: PgPool,
    answer_max: Duration,
    idle: Option<SessionConnection>,
}

/// A connection for one transaction after another.
#[derive(Debug)]
pub(crate) struct SessionConnection {
    pub(crate) connection: PoolConnection<Postgres>,
    pub(crate) watch: Watch,
}

/// Finds out whether a transaction is still one for the server.
///
/// A handler may work for minutes, so its transaction has no deadline. But a network that swallows a
/// statement, a commit or its answer leaves both sides waiting: the server ends a session that is
/// silent in a transaction, or takes itself to be done, and this side learns nothing.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    pool: PgPool,
    answer_max: Duration,
    /// The server's process.
    backend: i32,
}

impl Session {
    pub(crate) fn new(pool: PgPool, answer_max: Duration) -> Self {
        Self {
            pool,
            answer_max,
            idle: None,
        }
    }

    /// The connection, or another one. Whoever takes it puts it back only if no transaction is open
    /// on it and nothing went wrong with it; dropped, it goes to the pool, which clears it up.
    pub(crate) async fn take(&mut self) -> Result<SessionConnection, sqlx::Error> {
        if let Some(taken) = self.idle.take() {
            return Ok(taken);
        }
        let mut connection = self.pool.acquire().await?;
        let asking = sqlx::query_scalar!(r#"select pg_backend_pid() as "backend!""#);
        let backend = within(self.answer_max, asking.fetch_one(&mut *connection)).await?;
        let watch = Watch {
            pool: self.pool.clone(),
            answer_max: self.answer_max,
            backend,
        };
        Ok(SessionConnection { connection, watch })
    }

    pub(crate) fn put_back(&mut self, taken: SessionConnection) {
        self.idle = Some(taken);
    }
}

impl Watch {
    /// The result of what is done in a transaction.
    ///
    /// # Errors
    /// [`sqlx::Error::Io`] in place of the result once the server says that it has no such transaction,
    /// or does not answer. The connection is then to be dropped.
    pub(crate) async fn over<T>(&self, work: impl Future<Output = T>) -> Result<T, sqlx::Error> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.lost() => Err(no_answer()),
        }
    }

    async fn lost(&self) {
        loop {
            sleep(self.answer_max / 2).await;
            match within(self.answer_max / 2, self.is_in_transaction()).await {
                // What the server refuses, such as one more session, says nothing.
                Ok(true) | Err(sqlx::Error::Database(_)) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// On a connection of its own, as those of the pool may all be in use.
    async fn is_in_transaction(&self) -> Result<bool, sqlx::Error> {
        let options = self.pool.connect_options();
        let mut connection = PgConnection::connect_with(&options).await?;
        let found = sqlx::query_scalar!(
            r#"select exists (
                   select from pg_stat_activity
                   where pid = $1
                       -- Disabled: the server is set to say nothing of its sessions.
                       and (xact_start is not null or state = 'disabled')
               ) as "found!""#,
            self.backend,
        )
        .fetch_one(&mut connection)
        .await?;
        connection.close().await?;
        Ok(found)
    }
}
