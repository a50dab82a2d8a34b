//! The connection on which batches are processed.

use sqlx::{PgConnection, PgPool};

/// Keeps one connection from batch to batch. A pool asks a connection whether it lives each time it
/// gives it out, and clears it up each time it gets it back: two round trips more for each batch.
#[derive(Debug)]
pub(crate) struct Session {
    pool: PgPool,
    idle: Option<PgConnection>,
}

impl Session {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, idle: None }
    }

    /// The connection, or a new one. Whoever takes it puts it back only if no transaction is open
    /// on it and nothing went wrong with it.
    pub(crate) async fn take(&mut self) -> Result<PgConnection, sqlx::Error> {
        match self.idle.take() {
            Some(connection) => Ok(connection),
            None => Ok(self.pool.acquire().await?.detach()),
        }
    }

    pub(crate) fn put_back(&mut self, connection: PgConnection) {
        self.idle = Some(connection);
    }
}
