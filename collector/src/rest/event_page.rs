//! Cutting the log into pages.

use atlas_events::{Event, EventFilter, Timestamp};
use chrono::{DateTime, Utc};
use event_log::{EventLog, Followed, Follower, Head, LogError};

/// A page considers at most this many bytes of events, so that neither a page of large ones nor a
/// search that finds nothing holds much memory or takes long.
const CONSIDERED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    /// Only behind this position.
    pub(super) after_position: Option<u64>,
    /// Only what occurred at or after this time.
    pub(super) since: Option<DateTime<Utc>>,
    /// Only what occurred before this time.
    pub(super) until: Option<DateTime<Utc>>,
}

/// A part of the log.
#[derive(Debug)]
pub(super) struct Page {
    /// The wanted events, in position order.
    pub(super) events: Vec<Event>,
    /// Everything up to here has been considered.
    pub(super) up_to: u64,
    /// Whether there may be more at present.
    pub(super) has_more: bool,
}

/// Reads at most `events_max` wanted events.
pub(super) async fn read(
    log: &EventLog,
    range: Range,
    filter: EventFilter,
    events_max: usize,
) -> Result<Page, LogError> {
    let head = log.head().await?;
    let mut follower = start(log, &head, range, filter).await?;
    await_tail(log, &head).await?;
    let cursor = follower.cursor();
    let up_to = || cursor.load(std::sync::atomic::Ordering::Acquire);
    let mut events: Vec<Event> = Vec::new();
    let mut considered_bytes = 0;
    loop {
        let delivery = match follower.next().await? {
            Followed::Events(delivery) => delivery,
            Followed::FellBehind => continue,
            Followed::CaughtUp => {
                return Ok(Page {
                    events,
                    up_to: up_to(),
                    has_more: false,
                });
            }
        };
        considered_bytes += delivery.frames.len();
        for event in delivery.events() {
            let event = event.map_err(|e| LogError::Database(sqlx::Error::Decode(e.into())))?;
            if !range.holds(&event) {
                continue;
            }
            if events.len() == events_max {
                let up_to = events.last().map_or(0, |event| event.position);
                return Ok(Page {
                    events,
                    up_to,
                    has_more: true,
                });
            }
            events.push(event);
        }
        if considered_bytes >= CONSIDERED_BYTES_MAX {
            return Ok(Page {
                events,
                up_to: up_to(),
                has_more: true,
            });
        }
    }
}

impl Range {
    fn holds(&self, event: &Event) -> bool {
        let Some(occurred_at) = event.occurred_at.and_then(Timestamp::to_utc) else {
            return false;
        };
        self.since.is_none_or(|since| occurred_at >= since)
            && self.until.is_none_or(|until| occurred_at < until)
    }
}

async fn start(
    log: &EventLog,
    head: &Head,
    range: Range,
    filter: EventFilter,
) -> Result<Follower, LogError> {
    match (range.after_position, range.since) {
        (Some(after), _) => log.follow_after(after, filter).await,
        (None, Some(since)) => log.follow_since(since, filter).await,
        (None, None) => log.follow_after(head.first_position - 1, filter).await,
    }
}

/// Waits until what was stored by now has reached this process, so that whoever published something
/// finds it.
async fn await_tail(log: &EventLog, head: &Head) -> Result<(), LogError> {
    if log.tail_position() >= head.last_position {
        return Ok(());
    }
    let before_last = head.last_position - 1;
    let mut last = log
        .follow_after(before_last, EventFilter::default())
        .await?;
    while !matches!(last.next().await?, Followed::Events(_)) {}
    Ok(())
}
