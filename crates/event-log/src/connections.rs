//! Who of a process may use how many connections, so that nobody waits behind many others of another
//! kind.
//!
//! Of the configured number, two are outside of the pool, for the feeder of the ring alone: one
//! listens, one reads. Of those in the pool, readers of stored events (pages, seeks, look-ups) have
//! half at the most, each for one page at a time and in the order in which they came; the others are
//! for the transactions of the log's owner, and for what is short.

use std::sync::Arc;

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgConnectOptions,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{LogError, database};

/// Connections of the feeder.
const FEEDER_CONNECTIONS: u32 = 2;
/// Of fewer than these in the pool none is left to the feeder.
const POOLED_MIN: u32 = 2;

/// How many connections the pool may have of all that are configured.
pub(crate) fn pooled(connections_max: u32) -> u32 {
    connections_max
        .saturating_sub(FEEDER_CONNECTIONS)
        .max(POOLED_MIN.min(connections_max))
}

/// The connections of the feeder, made as a pool would: by these options.
pub(crate) fn of_feeder(options: PgConnectOptions) -> PgPool {
    database::pool(options, FEEDER_CONNECTIONS)
}

/// The connections of those who read stored events.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    pool: PgPool,
    places: Arc<Semaphore>,
    places_max: u32,
}

impl Readers {
    pub(crate) fn of(pool: PgPool) -> Self {
        let places_max = (pool.options().get_max_connections() / 2).max(1);
        Self {
            pool,
            places: Arc::new(Semaphore::new(places_max as usize)),
            places_max,
        }
    }

    /// How many may read at once.
    pub(crate) fn places_max(&self) -> u32 {
        self.places_max
    }

    /// A connection, once those that came before have had theirs.
    pub(crate) async fn connect(&self) -> Result<ReaderConnection, LogError> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_closed| LogError::Closed)?;
        Ok(ReaderConnection {
            held: Some((self.pool.acquire().await?, place)),
            is_asked: false,
        })
    }
}

/// A connection of a reader, who may go away while it waits for an answer: then the connection keeps
/// its place until the database has answered, since it is not free before.
#[derive(Debug)]
pub(crate) struct ReaderConnection {
    held: Option<(PoolConnection<Postgres>, OwnedSemaphorePermit)>,
    is_asked: bool,
}

impl ReaderConnection {
    /// To ask the database; [`ReaderConnection::answered`] is to be called behind that.
    pub(crate) fn ask(&mut self) -> Result<&mut PgConnection, LogError> {
        self.is_asked = true;
        match &mut self.held {
            Some((connection, _)) => Ok(connection),
            None => Err(LogError::Closed),
        }
    }

    /// The database has answered.
    pub(crate) fn answered(&mut self) {
        self.is_asked = false;
    }
}

impl Drop for ReaderConnection {
    fn drop(&mut self) {
        let Some((mut connection, place)) = self.held.take() else {
            return;
        };
        if !self.is_asked {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Answered once all that was asked before is. What is wrong with it the pool will see.
                let _ = connection.ping().await;
                drop((connection, place));
            });
        }
    }
}
