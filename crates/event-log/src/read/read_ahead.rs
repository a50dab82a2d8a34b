//! Reading ahead: while pages are on their way to a reader, the database works on the next.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    EventLog, LogError,
    database::connections::ReaderConnection,
    read::{
        page::Page,
        pages::{Pages, RUN_PAGES},
    },
};

/// How long a connection is kept for a reader that is about to go on.
const CONNECTION_KEPT: Duration = Duration::from_millis(5);
/// How long pages are kept for a reader that takes none.
const PAGES_KEPT: Duration = Duration::from_secs(1);

/// How many readers may read ahead at once: each takes a connection for as long as it goes on. Half
/// of the connections that readers have is for those who want a page.
pub(crate) fn places(readers_max: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(readers_max as usize / 2))
}

/// The pages after a cursor, read by a task of their own. A few are ahead of the reader at the most,
/// and none once the reader has not gone on for a while.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    /// Where the next page begins.
    after: u64,
    shelf: Arc<Shelf>,
    _task: AbortOnDropHandle<()>,
}

impl ReadAhead {
    /// Begins to read after a cursor; `None` if too many others read ahead already.
    pub(crate) fn begin(log: &EventLog, pages: Pages, after: u64) -> Option<Self> {
        let place = log.read_ahead_places().try_acquire_owned().ok()?;
        let shelf = Arc::new(Shelf::default());
        let reading = Reading {
            log: log.clone(),
            pages,
            after,
            connection: None,
            shelf: Arc::clone(&shelf),
            _place: place,
        };
        Some(Self {
            after,
            shelf,
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
        loop {
            if let Some(page) = self.shelf.take()? {
                if let Ok(page) = &page {
                    self.after = page.up_to;
                }
                return Some(page);
            }
            self.shelf.filled.notified().await;
        }
    }
}

/// What was read and not taken yet.
#[derive(Debug, Default)]
struct Shelf {
    // A std mutex: held for a few instructions, never across an await.
    held: Mutex<Held>,
    /// A page was added, or none will be any more.
    filled: Notify,
    /// A page was taken.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Held {
    pages: VecDeque<Result<Page, LogError>>,
    ended: bool,
}

impl Shelf {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, page: Result<Page, LogError>) {
        self.held().pages.push_back(page);
        self.filled.notify_one();
    }

    /// A page if there is one yet; `None` if none will be.
    fn take(&self) -> Option<Option<Result<Page, LogError>>> {
        let mut held = self.held();
        let page = held.pages.pop_front();
        if page.is_none() && held.ended {
            return None;
        }
        drop(held);
        if page.is_some() {
            self.taken.notify_one();
        }
        Some(page)
    }

    fn is_half_empty(&self) -> bool {
        self.held().pages.len() as u64 <= RUN_PAGES / 2
    }

    /// Nothing is added any more; what is there is released unless it is to be taken yet.
    fn end(&self, keep: bool) {
        let mut held = self.held();
        held.ended = true;
        if !keep {
            held.pages.clear();
        }
        drop(held);
        self.filled.notify_one();
    }
}

/// The task's side.
struct Reading {
    log: EventLog,
    pages: Pages,
    after: u64,
    connection: Option<ReaderConnection>,
    shelf: Arc<Shelf>,
    _place: OwnedSemaphorePermit,
}

impl Reading {
    async fn run(mut self) {
        while self.pages.are_needed(self.after) {
            if let Err(error) = self.read().await {
                self.shelf.add(Err(error));
                break;
            }
            if !self.goes_on().await {
                return self.shelf.end(false);
            }
        }
        self.shelf.end(true);
    }

    async fn read(&mut self) -> Result<(), LogError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.log.readers().connect().await?),
        };
        let (shelf, from, after) = (&self.shelf, self.after, &mut self.after);
        let on_page = |page: Page| {
            *after = page.up_to;
            shelf.add(Ok(page));
        };
        self.pages
            .read_run(connection.ask()?, from, on_page)
            .await?;
        connection.answered();
        Ok(())
    }

    /// Waits until the reader has taken pages. While it does not, no connection is kept.
    async fn goes_on(&mut self) -> bool {
        if timeout(CONNECTION_KEPT, self.room()).await.is_ok() {
            return true;
        }
        self.connection = None;
        loop {
            if timeout(PAGES_KEPT, self.shelf.taken.notified())
                .await
                .is_err()
            {
                return false;
            }
            if self.shelf.is_half_empty() {
                return true;
            }
        }
    }

    async fn room(&self) {
        while !self.shelf.is_half_empty() {
            self.shelf.taken.notified().await;
        }
    }
}
