//! Reads by time: a filter on `occurred_at`, delivered in position order, that ends.

use atlas_events::EventFilter;
use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    EventLog, LogError,
    batch::Delivery,
    read::{self, SCAN_POSITIONS_MAX},
    segment::Bounds,
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
            filter,
            bounds,
            cursor: after,
            up_to,
        }
    }

    /// The next events; `None` at the end.
    ///
    /// # Errors
    /// [`LogError::Trimmed`] if retention has overtaken the reader, or [`LogError::Database`].
    pub async fn next(&mut self) -> Result<Option<Delivery>, LogError> {
        let (pool, segments) = (self.log.pool(), self.log.segments());
        while self.cursor < self.up_to {
            let positions = SCAN_POSITIONS_MAX.min(self.up_to - self.cursor);
            let Some(window) = segments.window(pool, self.cursor, positions).await? else {
                // What was there when the read began is no longer: removed, or never to be found.
                let after = self.cursor;
                let first_position = self.log.head().await?.first_position;
                return Err(match first_position > after + 1 {
                    true => LogError::Trimmed {
                        after,
                        first_position,
                    },
                    false => LogError::Hole { after },
                });
            };
            let reading = read::page_between(pool, self.cursor, window, self.bounds, &self.filter);
            let page = self.log.metrics().timed(Query::Range, reading).await?;
            self.log
                .metrics()
                .undeliverable
                .increment(page.undeliverable);
            self.cursor = page.up_to;
            if page.delivery.is_some() {
                return Ok(page.delivery);
            }
        }
        Ok(None)
    }
}
