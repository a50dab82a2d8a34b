//! The pages of one reader, one after the other.

use atlas_events::EventFilter;
use sqlx::PgConnection;

use crate::{
    EventLog, LogError,
    read::{self, PAGE_EVENTS_MAX, Page, SCAN_POSITIONS_MAX},
    read_small::{self, SMALL_BYTES_MAX},
    ring::Lookup,
    telemetry::Query,
};

/// Reads pages for one reader who is behind the ring.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    log: EventLog,
    filter: EventFilter,
    /// The last position when the reader began, which this process may not have heard of yet.
    stored: u64,
    /// Whether the events of the last page were small, so that those of the next may be.
    small: bool,
}

impl Pages {
    pub(crate) fn new(log: EventLog, filter: EventFilter, stored: u64) -> Self {
        Self {
            log,
            filter,
            stored,
            small: true,
        }
    }

    /// Whether what comes after a cursor is in the database and not in memory.
    pub(crate) fn are_needed(&self, after: u64) -> bool {
        match self.log.ring().after(after) {
            Lookup::Batches(_) => false,
            Lookup::AtTail => after < self.stored,
            Lookup::Behind => true,
        }
    }

    /// The page after a cursor.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] if retention has removed what it would have held, [`LogError::Hole`],
    /// [`LogError::BeyondHead`], or [`LogError::Database`].
    pub(crate) async fn read(
        &mut self,
        connection: &mut PgConnection,
        after: u64,
    ) -> Result<Page, LogError> {
        let metrics = self.log.metrics();
        metrics.database_reads.increment(1);
        metrics
            .timed(Query::Page, self.read_next(connection, after))
            .await
    }

    async fn read_next(
        &mut self,
        connection: &mut PgConnection,
        after: u64,
    ) -> Result<Page, LogError> {
        let positions = match self.filter.is_unfiltered() {
            true => PAGE_EVENTS_MAX,
            false => SCAN_POSITIONS_MAX,
        };
        let segments = self.log.segments();
        let window = segments
            .window(&mut *connection, after, positions)
            .await?
            .ok_or(LogError::BeyondHead {
                after,
                last_position: after,
            })?;
        if self.filter.is_unfiltered() && self.small {
            let page = read_small::page(&mut *connection, after, window).await?;
            self.small = page.as_ref().is_some_and(|page| page.up_to == window.up_to);
            if let Some(page) = page {
                return Ok(page);
            }
        }
        let page = read::page(connection, after, window, &self.filter).await?;
        self.small = page.event_bytes_max <= SMALL_BYTES_MAX;
        Ok(page)
    }
}
