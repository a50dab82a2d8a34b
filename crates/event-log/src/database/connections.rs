//! Who of a process may use how many connections, so that nobody waits behind many others of another
//! kind.
//!
//! Of the configured number, two are outside of the pool, for the feeder of the ring alone: one
//! listens, one reads. Of those in the pool, readers of stored events (pages, seeks, look-ups) have
//! half at the most, each for one page at a time and in the order in which they came; the others are
//! for the transactions of the log's owner, and for what is short.
//!
//! A reader who finds next to nothing in what it looks through (a search) costs processor time of the
//! database that nothing else paces. Hundreds of these leave half of the processors to live delivery,
//! and a place to other readers.

use std::{sync::Arc, time::Duration};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgConnectOptions,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{LogError, database};

/// Connections of the feeder.
const FEEDER_CONNECTIONS: u32 = 2;
/// Of fewer than these in the pool none is left to the feeder.
const POOLED_MIN: u32 = 2;

/// How long a connection is kept that nobody waits for any more. It is closed then: the server ends a
/// statement whose client has hung up, and a link that carries nothing keeps no place for ever.
const ABANDONED_TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections the pool may have of all that are configured.
pub(crate) fn pooled(connections_max: u32) -> u32 {
    connections_max
        .saturating_sub(FEEDER_CONNECTIONS)
        .max(POOLED_MIN.min(connections_max))
}

/// The connection by which the feeder reads, made as a pool would: by these options. That by which it
/// listens is made likewise, each time anew: one that is silent is not given back for as long as it is.
pub(crate) fn of_feeder(options: PgConnectOptions) -> PgPool {
    database::pool(options, FEEDER_CONNECTIONS / 2)
}

/// The connections of those who read stored events.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    pool: PgPool,
    places: Arc<Semaphore>,
    places_max: u32,
    searches: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn of(pool: PgPool) -> Self {
        let places_max = (pool.options().get_max_connections() / 2).max(1);
        // The database often shares the machine, and is seldom smaller.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            pool,
            places: Arc::new(Semaphore::new(places_max as usize)),
            places_max,
            searches: Arc::new(Semaphore::new(
                (processors / 2).min(places_max as usize - 1).max(1),
            )),
        }
    }

    /// How many may read at once.
    pub(crate) fn places_max(&self) -> u32 {
        self.places_max
    }

    /// A connection, once those that came before have had theirs.
    pub(crate) async fn connect(&self) -> Result<ReaderConnection, LogError> {
        self.connect_with(None).await
    }

    /// The same for a reader who searches.
    pub(crate) async fn connect_to_search(&self) -> Result<ReaderConnection, LogError> {
        let search = permit(&self.searches).await?;
        self.connect_with(Some(search)).await
    }

    async fn connect_with(
        &self,
        search: Option<OwnedSemaphorePermit>,
    ) -> Result<ReaderConnection, LogError> {
        let place = permit(&self.places).await?;
        Ok(ReaderConnection {
            held: Some(Held {
                connection: self.pool.acquire().await?,
                _place: place,
                _search: search,
            }),
            is_asked: false,
        })
    }
}

async fn permit(of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, LogError> {
    let permit = Arc::clone(of).acquire_owned().await;
    permit.map_err(|_closed| LogError::Closed)
}

#[derive(Debug)]
struct Held {
    connection: PoolConnection<Postgres>,
    _place: OwnedSemaphorePermit,
    _search: Option<OwnedSemaphorePermit>,
}

/// A connection of a reader, who may go away while it waits for an answer: then the connection keeps
/// its place until the database has answered, since it is not free before, or is closed.
#[derive(Debug)]
pub(crate) struct ReaderConnection {
    held: Option<Held>,
    is_asked: bool,
}

impl ReaderConnection {
    /// To ask the database; [`ReaderConnection::answered`] is to be called behind that.
    pub(crate) fn ask(&mut self) -> Result<&mut PgConnection, LogError> {
        self.is_asked = true;
        match &mut self.held {
            Some(held) => Ok(&mut held.connection),
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
        let Some(held) = self.held.take() else {
            return;
        };
        if !self.is_asked {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // All of it, so that the permits last as long.
                let Held {
                    mut connection,
                    _place,
                    _search,
                } = held;
                // Answered once all that was asked before is. What is wrong with it the pool will see.
                if timeout(ABANDONED_TIMEOUT, connection.ping()).await.is_err() {
                    drop(connection.detach());
                }
            });
        }
    }
}
