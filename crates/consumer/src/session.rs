//! The connection on which batches are processed.

use sqlx::{PgPool, Postgres, pool::PoolConnection};

/// Keeps one connection of a pool from batch to batch. A pool asks a connection whether it lives each
/// time it gives it out, and clears it up each time it gets it back: two round trips more for each
/// batch.
#[derive(Debug)]
pub(crate) struct Session {
    pool: PgPool,
    idle: Option<PoolConnection<Postgres>>,
}

impl Session {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, idle: None }
    }

    /// The connection, or another one. Whoever takes it puts it back only if no transaction is open
    /// on it and nothing went wrong with it; dropped, it goes to the pool, which clears it up.
    pub(crate) async fn take(&mut self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        match self.idle.take() {
            Some(connection) => Ok(connection),
            None => self.pool.acquire().await,
        }
    }

    pub(crate) fn put_back(&mut self, connection: PoolConnection<Postgres>) {
        self.idle = Some(connection);
    }
}
