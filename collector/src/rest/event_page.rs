//! Cutting the log into pages.

use std::{sync::atomic::Ordering, time::Duration};

use access::HeldBytes;
use atlas_events::{Event, EventFilter, Timestamp};
use chrono::{DateTime, Utc};
use event_log::{EventLog, Followed, Follower, Head, LogError};
use service::rest::{AnswerBytes, Problem};
use tokio::time::{Instant, sleep, sleep_until};

/// A page considers at most this many bytes of events, so that it does not take long.
const CONSIDERED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The events of a page take at most this much memory, but for the first. As JSON they take at most six
/// times as much, where they hold nothing but control characters.
const BUILT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A page that has considered something ends after this time: a search through a long log finds little.
pub(super) const PAGE_TIME_MAX: Duration = Duration::from_secs(5);
/// How often a page that is over its time looks whether it has considered something.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

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
    /// What the events hold in memory, counted until this is dropped.
    pub(super) held: HeldBytes,
}

/// How much of a page there may be.
#[derive(Debug)]
pub(super) struct Bounds {
    /// So many events.
    pub(super) events_max: usize,
    /// It ends after this time, once it has considered something.
    pub(super) time_max: Duration,
    /// What it may hold in memory.
    pub(super) bytes: AnswerBytes,
}

/// Reads wanted events within bounds.
pub(super) async fn read(
    log: &EventLog,
    range: Range,
    filter: EventFilter,
    bounds: Bounds,
) -> Result<Page, Problem> {
    let over_at = Instant::now() + bounds.time_max;
    let held = bounds.bytes.hold(0)?;
    let head = log.head().await?;
    let mut follower = start(log, &head, range, filter).await?;
    await_tail(log, &head).await?;
    let cursor = follower.cursor();
    let up_to = || cursor.load(Ordering::Acquire);
    let begun_at = up_to();
    let mut events: Vec<Event> = Vec::new();
    let (mut considered_bytes, mut built_bytes) = (0, 0);
    let (has_more, up_to) = 'page: loop {
        let followed = tokio::select! {
            followed = follower.next() => followed?,
            () = over(over_at, || up_to() > begun_at) => break (true, up_to()),
        };
        let delivery = match followed {
            Followed::Events(delivery) => delivery,
            Followed::FellBehind => continue,
            Followed::CaughtUp => break (false, up_to()),
        };
        considered_bytes += delivery.frames.len();
        for event in delivery.events() {
            let event = event.map_err(|e| LogError::Database(sqlx::Error::Decode(e.into())))?;
            if !range.holds(&event) {
                continue;
            }
            let bytes = event.held_bytes() as u64;
            let is_room =
                events.len() < bounds.events_max && built_bytes + bytes <= BUILT_BYTES_MAX;
            if let Some(last) = events.last()
                && !is_room
            {
                break 'page (true, last.position);
            }
            held.add(bytes)?;
            built_bytes += bytes;
            events.push(event);
        }
        if considered_bytes >= CONSIDERED_BYTES_MAX {
            break (true, up_to());
        }
    };
    Ok(Page {
        events,
        up_to,
        has_more,
        held,
    })
}

/// Resolves at a time, or later once there is progress: who asks again from the same place gets no
/// further.
async fn over(at: Instant, has_progressed: impl Fn() -> bool) {
    sleep_until(at).await;
    while !has_progressed() {
        sleep(PROGRESS_INTERVAL).await;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use access::{Access, ByteBudget, Caller, Peer, Shares};
    use event_log::LogConfig;
    use test_support::{TestDatabase, drafts};

    use super::*;

    #[tokio::test]
    async fn a_page_without_progress_goes_on() {
        let (began, progressed) = (Instant::now(), Cell::new(false));
        let patience = Duration::from_millis(50);
        let late = 10 * patience;
        let progressing = async {
            sleep(late).await;
            progressed.set(true);
        };
        let ((), ()) = tokio::join!(over(began + patience, || progressed.get()), progressing);
        assert!(began.elapsed() >= late);
    }

    /// However short pages are, all that is wanted is found, and each goes further than the one before.
    #[tokio::test]
    async fn pages_without_time_go_on_where_the_one_before_ended() {
        let database = TestDatabase::create().await;
        let pool = event_log::connect(&database.url(), "log", 8).await.unwrap();
        let open = || EventLog::open(pool.clone(), LogConfig::default(), None);
        let writer = open().await.unwrap();
        for n in 0..5 {
            writer.append(drafts(n * 100..n * 100 + 100)).await.unwrap();
        }
        // One that has nothing of it in memory.
        let log = open().await.unwrap();
        let shares = Shares::new(ByteBudget::of_answers(1 << 20), 1 << 20);
        let caller = Caller::new(Access::nothing(), Peer::default());
        let mut range = Range {
            after_position: Some(0),
            since: None,
            until: None,
        };
        let mut positions = Vec::new();
        loop {
            let bounds = Bounds {
                events_max: 70,
                time_max: Duration::ZERO,
                bytes: AnswerBytes::of(&shares, &caller),
            };
            let page = read(&log, range, EventFilter::default(), bounds).await;
            let page = page.unwrap();
            let bytes: usize = page.events.iter().map(Event::held_bytes).sum();
            assert_eq!(shares.whole().held(), bytes as u64);
            positions.extend(page.events.iter().map(|event| event.position));
            if !page.has_more {
                break;
            }
            assert!(Some(page.up_to) > range.after_position);
            range.after_position = Some(page.up_to);
        }
        assert_eq!(positions, (1..=500).collect::<Vec<_>>());
        assert_eq!(shares.whole().held(), 0);
    }
}
