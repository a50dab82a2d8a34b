//! Reading ahead: while one page is on its way to a reader, the database works on the next.

use std::{sync::Arc, time::Duration};

use sqlx::{Postgres, pool::PoolConnection};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{EventLog, LogError, pages::Pages, read::Page};

/// How long a connection is kept for a reader that is about to ask for the next page.
const CONNECTION_KEPT: Duration = Duration::from_millis(5);
/// How long a page is kept for a reader that does not ask for it.
const PAGE_KEPT: Duration = Duration::from_secs(1);

/// How many readers may read ahead at once: each takes a connection for as long as it asks for page
/// after page. Of the connections, one listens, and half of the others are for everybody else.
pub(crate) fn places(connections_max: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(
        connections_max.saturating_sub(1) as usize / 2,
    ))
}

/// The pages after a cursor, read by a task of their own. There is one page ahead of the reader at
/// the most, and none once the reader has not asked for a while.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    /// Where the next page begins.
    after: u64,
    wanted: Arc<Notify>,
    /// Whether the next page has been asked for: the call that did so may have been dropped.
    asked: bool,
    pages: mpsc::Receiver<Result<Page, LogError>>,
    _task: AbortOnDropHandle<()>,
}

impl ReadAhead {
    /// Begins to read after a cursor; `None` if too many others read ahead already.
    pub(crate) fn begin(log: &EventLog, pages: Pages, after: u64) -> Option<Self> {
        let place = log.read_ahead_places().try_acquire_owned().ok()?;
        let wanted = Arc::new(Notify::new());
        // A page is only sent when it was asked for, so that there is always room.
        let (ready, received) = mpsc::channel(1);
        let reading = Reading {
            log: log.clone(),
            pages,
            after,
            connection: None,
            wanted: Arc::clone(&wanted),
            ready,
            _place: place,
        };
        Some(Self {
            after,
            wanted,
            asked: false,
            pages: received,
            _task: AbortOnDropHandle::new(tokio::spawn(reading.run())),
        })
    }

    /// Whether the next page begins after this cursor.
    pub(crate) fn continues(&self, after: u64) -> bool {
        self.after == after
    }

    /// The next page; `None` if nothing is read ahead any more. May be dropped and called again
    /// without loss.
    pub(crate) async fn next(&mut self) -> Option<Result<Page, LogError>> {
        if !self.asked {
            self.asked = true;
            self.wanted.notify_one();
        }
        let page = self.pages.recv().await;
        self.asked = false;
        if let Some(Ok(page)) = &page {
            self.after = page.up_to;
        }
        page
    }
}

/// The task's side.
struct Reading {
    log: EventLog,
    pages: Pages,
    after: u64,
    connection: Option<PoolConnection<Postgres>>,
    wanted: Arc<Notify>,
    ready: mpsc::Sender<Result<Page, LogError>>,
    _place: OwnedSemaphorePermit,
}

impl Reading {
    async fn run(mut self) {
        while self.pages.are_needed(self.after) {
            let page = self.read().await;
            let failed = page.is_err();
            if !self.is_wanted().await || self.ready.send(page).await.is_err() || failed {
                return;
            }
        }
    }

    async fn read(&mut self) -> Result<Page, LogError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.log.pool().acquire().await?),
        };
        let page = self.pages.read(connection, self.after).await?;
        self.after = page.up_to;
        Ok(page)
    }

    /// Waits until the reader asks for a page. While it is not about to, no connection is kept.
    async fn is_wanted(&mut self) -> bool {
        if timeout(CONNECTION_KEPT, self.wanted.notified())
            .await
            .is_ok()
        {
            return true;
        }
        self.connection = None;
        timeout(PAGE_KEPT, self.wanted.notified()).await.is_ok()
    }
}
