//! A reader that follows a log: from the database while it is behind, from memory once it is not.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use atlas_events::EventFilter;

use crate::{
    EventLog, LogError,
    live::{batch::Delivery, ring::Lookup},
    read::{page::Page, pages::Pages, read_ahead::ReadAhead},
    telemetry::CountedReader,
};

/// What a follower comes upon.
#[derive(Debug)]
pub enum Followed {
    /// Events that the filter wants; at least one.
    Events(Delivery),
    /// Everything wanted that was stored when the follower began, or later and known to this
    /// process, has been delivered; what follows is live.
    CaughtUp,
    /// The log grows faster than the reader reads: it is served from the database again.
    FellBehind,
}

/// Delivers exactly the wanted events after a cursor, once each, in order, for as long as it is
/// asked. It holds a cursor and, while it is behind and reads on, a few pages that were read ahead of
/// it: a slow one holds none of these for more than a second, and delays nobody.
#[derive(Debug)]
pub struct Follower {
    log: EventLog,
    filter: EventFilter,
    cursor: Arc<AtomicU64>,
    /// The last position when it began, which this process may not have heard of yet.
    stored: u64,
    live: bool,
    pages: Pages,
    /// Whether the last that was read came from the database: who reads one page may want no other,
    /// but who reads two reads on.
    reads_on: bool,
    ahead: Option<ReadAhead>,
    /// Whether next to nothing of the last page from the database was wanted.
    searches: bool,
    counted: CountedReader,
}

impl Follower {
    pub(crate) fn new(log: EventLog, after: u64, stored: u64, filter: EventFilter) -> Self {
        Self {
            counted: CountedReader::new(log.metrics()),
            pages: Pages::new(log.clone(), filter.clone(), stored),
            log,
            cursor: Arc::new(AtomicU64::new(after)),
            stored,
            live: false,
            reads_on: false,
            ahead: None,
            // Until it is known what it finds: who wants little that is there waits for nobody's search.
            searches: false,
            filter,
        }
    }

    /// The cursor, readable while `next` is under way: everything wanted up to it has been
    /// returned by `next`.
    pub fn cursor(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.cursor)
    }

    fn position(&self) -> u64 {
        self.cursor.load(Ordering::Acquire)
    }

    /// What comes next; waits for it if need be. May be dropped and called again without loss.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] if retention has overtaken the reader, [`LogError::Database`] if the
    /// database cannot be read, [`LogError::Unverified`] if the log went back, was replaced, or has
    /// not been heard of for too long, [`LogError::Closed`] on shutdown. The cursor stays valid.
    pub async fn next(&mut self) -> Result<Followed, LogError> {
        loop {
            // A filter that wants little can go through all of the ring in one go.
            tokio::task::coop::consume_budget().await;
            self.log.history().check()?;
            let cursor = self.position();
            match self.log.ring().after(cursor) {
                Lookup::Batches(batches) => {
                    self.is_served_from_memory();
                    self.log.metrics().ring_reads.increment(1);
                    let delivery = Delivery::select(&batches, cursor, &self.filter);
                    if let Some(found) = delivery.and_then(|delivery| self.advance(delivery)) {
                        return Ok(found);
                    }
                }
                Lookup::AtTail if self.live => self.wait_beyond(cursor).await?,
                Lookup::AtTail if cursor >= self.stored => {
                    self.live = true;
                    self.is_served_from_memory();
                    return Ok(Followed::CaughtUp);
                }
                Lookup::Behind if self.live => {
                    self.live = false;
                    return Ok(Followed::FellBehind);
                }
                Lookup::AtTail | Lookup::Behind => {
                    self.counted.is_behind(true);
                    let log = self.log.clone();
                    let found = tokio::select! {
                        found = self.read_page(cursor) => found?,
                        () = log.history().unverified() => None,
                    };
                    if let Some(found) = found {
                        return Ok(found);
                    }
                }
            }
        }
    }

    /// Goes back to before what it delivered last, which it delivers again.
    pub fn rewind(&mut self, delivery: &Delivery) {
        self.cursor.store(delivery.after, Ordering::Release);
    }

    fn advance(&self, delivery: Delivery) -> Option<Followed> {
        self.cursor.store(delivery.up_to, Ordering::Release);
        (delivery.count > 0).then_some(Followed::Events(delivery))
    }

    async fn wait_beyond(&self, cursor: u64) -> Result<(), LogError> {
        let mut tail = self.log.ring().watch();
        tokio::select! {
            _ = tail.wait_for(|tail| *tail > cursor) => Ok(()),
            () = self.log.closing() => Err(LogError::Closed),
            () = self.log.history().unverified() => self.log.history().check(),
        }
    }

    fn is_served_from_memory(&mut self) {
        self.counted.is_behind(false);
        self.reads_on = false;
        self.ahead = None;
    }

    async fn read_page(&mut self, cursor: u64) -> Result<Option<Followed>, LogError> {
        let page = match self.page_read_ahead(cursor).await {
            Some(page) => page,
            None => self.page_read_now(cursor).await,
        };
        // After a failure nothing is read ahead before a page could be read.
        self.reads_on = page.is_ok();
        let page = page?;
        self.searches = page.is_sparse(cursor);
        Ok(match page.delivery {
            Some(delivery) => self.advance(delivery),
            None => {
                self.cursor.store(page.up_to, Ordering::Release);
                None
            }
        })
    }

    /// `None` if the next page was not read ahead.
    async fn page_read_ahead(&mut self, cursor: u64) -> Option<Result<Page, LogError>> {
        let searches = self.searches;
        self.ahead
            .take_if(|ahead| searches || !ahead.continues(cursor));
        if self.ahead.is_none() && self.reads_on && !searches {
            self.ahead = ReadAhead::begin(&self.log, self.pages.clone(), cursor);
        }
        let page = self.ahead.as_mut()?.next().await;
        if !matches!(page, Some(Ok(_))) {
            self.ahead = None;
        }
        page
    }

    async fn page_read_now(&mut self, cursor: u64) -> Result<Page, LogError> {
        let readers = self.log.readers();
        let mut connection = match self.searches {
            true => readers.connect_to_search().await?,
            false => readers.connect().await?,
        };
        let page = self.pages.read(connection.ask()?, cursor).await?;
        connection.answered();
        Ok(page)
    }
}
