//! Reads by time: a filter on `occurred_at`, delivered in position order, that ends.

use atlas_events::EventFilter;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    EventLog, LogError,
    head::segments::Bounds,
    live::batch::Delivery,
    read::page::{self, SCAN_POSITIONS_MAX},
    telemetry::Query,
};

/// Delivers the wanted events of a range of times, stored before the read began, in position order.
#[derive(Debug)]
pub struct RangeRead {
    log: EventLog,
    filter: EventFilter,
    bounds: Bounds,
    cursor: u64,
    up_to: u64,
    /// Whether next to nothing of the last page was wanted.
    searches: bool,
}

impl RangeRead {
    pub(crate) fn new(
        log: EventLog,
        (after, up_to): (u64, u64),
        (since, before): (DateTime<Utc>, DateTime<Utc>),
        filter: EventFilter,
    ) -> Self {
        // Times have whole microseconds, so this is the last one before `before`.
        let bounds = Bounds {
            earliest: since,
            latest: before - TimeDelta::microseconds(1),
        };
        Self {
            log,
            bounds,
            cursor: after,
            up_to,
            searches: false,
            filter,
        }
    }

    /// Whether nothing is left to be read.
    pub fn is_over(&self) -> bool {
        self.cursor >= self.up_to
    }

    /// The next events; `None` at the end.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] if retention has overtaken the reader, or [`LogError::Database`].
    pub async fn next(&mut self) -> Result<Option<Delivery>, LogError> {
        let segments = self.log.segments();
        while !self.is_over() {
            let positions = SCAN_POSITIONS_MAX.min(self.up_to - self.cursor);
            let readers = self.log.readers();
            let mut reader = match self.searches {
                true => readers.connect_to_search().await?,
                false => readers.connect().await?,
            };
            let connection = reader.ask()?;
            let reading = async {
                let window = segments.window(&mut *connection, self.cursor, positions);
                let Some(window) = window.await? else {
                    return Ok(None);
                };
                let (bounds, filter) = (self.bounds, &self.filter);
                let page = page::page_between(connection, self.cursor, window, bounds, filter);
                page.await.map(Some)
            };
            let page = self.log.metrics().timed(Query::Range, reading).await?;
            reader.answered();
            let Some(page) = page else {
                return Err(self.removed().await);
            };
            self.log
                .metrics()
                .undeliverable
                .increment(page.undeliverable);
            self.searches = page.is_sparse(self.cursor);
            self.cursor = page.up_to;
            if page.delivery.is_some() {
                return Ok(page.delivery);
            }
        }
        Ok(None)
    }

    /// Goes back to before what it delivered last, which it delivers again.
    pub fn rewind(&mut self, delivery: &Delivery) {
        self.cursor = delivery.after;
    }

    /// Why nothing is found behind the cursor, although there was something when the read began.
    async fn removed(&self) -> LogError {
        let after = self.cursor;
        match self.log.head().await {
            Ok(head) if head.first_position > after + 1 => LogError::Trimmed {
                after,
                first_position: head.first_position,
            },
            Ok(_) => LogError::Hole { after },
            Err(error) => error,
        }
    }
}
