//! The pages of one reader, one after the other.

use std::ops::ControlFlow;

use atlas_events::EventFilter;
use sqlx::PgConnection;

use crate::{
    EventLog, LogError,
    head::segments::Window,
    live::ring::Lookup,
    read::{
        page::{self, PAGE_EVENTS_MAX, Page, SCAN_POSITIONS_MAX},
        small_page::{self, SMALL_BYTES_MAX},
    },
    telemetry::Query,
};

/// Full pages of small events that one question to the database is answered with, at the most.
pub(crate) const RUN_PAGES: u64 = 8;

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
        let mut read = None;
        let on_page = |page| {
            read = Some(page);
            ControlFlow::Break(())
        };
        self.read_after(connection, after, PAGE_EVENTS_MAX, on_page)
            .await?;
        read.ok_or(LogError::Hole { after })
    }

    /// A page after a cursor or, where events are small, up to [`RUN_PAGES`] full ones, each handed
    /// over as soon as it is there.
    ///
    /// # Errors
    /// As [`Pages::read`]; what was handed over before stands.
    pub(crate) async fn read_run(
        &mut self,
        connection: &mut PgConnection,
        after: u64,
        mut on_page: impl FnMut(Page),
    ) -> Result<(), LogError> {
        let positions = RUN_PAGES * PAGE_EVENTS_MAX;
        let on_page = |page| {
            on_page(page);
            ControlFlow::Continue(())
        };
        self.read_after(connection, after, positions, on_page).await
    }

    async fn read_after(
        &mut self,
        connection: &mut PgConnection,
        after: u64,
        small_positions: u64,
        mut on_page: impl FnMut(Page) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        let metrics = self.log.metrics();
        metrics.database_reads.increment(1);
        let on_page = |page: Page| {
            metrics.undeliverable.increment(page.undeliverable);
            on_page(page)
        };
        let reading = self.read_any_size(connection, after, small_positions, on_page);
        metrics.timed(Query::Page, reading).await
    }

    async fn read_any_size(
        &mut self,
        connection: &mut PgConnection,
        after: u64,
        small_positions: u64,
        mut on_page: impl FnMut(Page) -> ControlFlow<()>,
    ) -> Result<(), LogError> {
        if self.filter.is_unfiltered() && self.small {
            let window = self.window(connection, after, small_positions).await?;
            let mut any = false;
            let on_small = |page| {
                any = true;
                on_page(page)
            };
            self.small = small_page::pages(connection, after, window, on_small).await?;
            if any {
                return Ok(());
            }
        }
        let positions = match self.filter.is_unfiltered() {
            true => PAGE_EVENTS_MAX,
            false => SCAN_POSITIONS_MAX,
        };
        let window = self.window(connection, after, positions).await?;
        let page = page::page(connection, after, window, &self.filter).await?;
        self.small = page.event_bytes_max <= SMALL_BYTES_MAX;
        let _ = on_page(page);
        Ok(())
    }

    async fn window(
        &self,
        connection: &mut PgConnection,
        after: u64,
        positions: u64,
    ) -> Result<Window, LogError> {
        let segments = self.log.segments();
        let window = segments.window(connection, after, positions).await?;
        window.ok_or(LogError::BeyondHead {
            after,
            last_position: after,
        })
    }
}
