//! Cutting the log into pages.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use access::HeldBytes;
use atlas_events::{Event, EventFilter, Timestamp, WantedEvents};
use axum::body::Bytes;
use chrono::{DateTime, Utc};
use event_log::{EventLog, Followed, Follower, Head, LogError, TypesSnapshot};
use service::rest::{AnswerBytes, Problem, ProblemKind};
use tokio::{
    task::yield_now,
    time::{Instant, sleep, sleep_until},
};
use tracing::error;

/// A page considers at most this many bytes of events, so that it does not take long.
const CONSIDERED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The events of a page have at most this many bytes of JSON, but for the first.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Others are served after so many bytes of JSON have been written.
const YIELD_BYTES: usize = 256 * 1024;
const BEGIN: &[u8] = b"{\"events\":[";
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

/// A part of the log, as JSON. An event is written as soon as it is read: decoded, all together would hold
/// many times what is sent, and writing a whole page at once would keep a thread from all others.
#[derive(Debug)]
pub(super) struct Page {
    text: Vec<u8>,
    types: Arc<TypesSnapshot>,
    /// Bytes of `text` that counted as written when others were served last.
    yielded_at: usize,
    events: usize,
    /// Position of the last event.
    last: u64,
    /// What `text` holds in memory, counted until this is dropped.
    held: HeldBytes,
}

impl Page {
    fn new(types: Arc<TypesSnapshot>, held: HeldBytes) -> Self {
        Self {
            types,
            text: BEGIN.to_vec(),
            yielded_at: 0,
            events: 0,
            last: 0,
            held,
        }
    }

    /// Adds an event; `false` if it would be one too many, which is not added then.
    fn add(&mut self, event: &Event, bounds: &Bounds) -> Result<bool, Problem> {
        if self.events == bounds.events_max {
            return Ok(false);
        }
        let _decoded = bounds.bytes.hold(event.held_bytes() as u64)?;
        let (before, capacity) = (self.text.len(), self.text.capacity());
        if self.events > 0 {
            self.text.push(b',');
        }
        self.types.write_json(event, &mut self.text).map_err(|error| {
            error!(position = event.position, %error, "a stored event cannot be written as JSON");
            Problem::new(ProblemKind::Internal, "the answer cannot be encoded")
        })?;
        if self.events > 0 && self.text.len() > TEXT_BYTES_MAX {
            self.text.truncate(before);
            return Ok(false);
        }
        self.held.add((self.text.capacity() - capacity) as u64)?;
        self.events += 1;
        self.last = event.position;
        Ok(true)
    }

    /// Serves others now and then.
    async fn yield_after_some(&mut self) {
        if self.text.len() - self.yielded_at >= YIELD_BYTES {
            self.yielded_at = self.text.len();
            yield_now().await;
        }
    }

    /// The document: `up_to` and `next` as [`super::events::EventsPage`] describes them.
    fn finish(mut self, has_more: bool, up_to: u64) -> Document {
        let next = has_more.then_some(up_to);
        let next = next.map_or_else(|| "null".to_owned(), |next| next.to_string());
        let end = format!("],\"next\":{next},\"up_to\":{up_to}}}");
        self.text.extend_from_slice(end.as_bytes());
        Document {
            text: self.text.into(),
            _held: self.held,
        }
    }
}

/// A page that is complete.
#[derive(Debug)]
pub(super) struct Document {
    /// JSON.
    pub(super) text: Bytes,
    /// Counts until the answer does.
    _held: HeldBytes,
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
) -> Result<Document, Problem> {
    let over_at = Instant::now() + bounds.time_max;
    let held = bounds.bytes.hold(0)?;
    let head = log.head().await?;
    let mut follower = start(log, &head, range, filter).await?;
    await_tail(log, &head).await?;
    let cursor = follower.cursor();
    let up_to = || cursor.load(Ordering::Acquire);
    let begun_at = up_to();
    let mut page = Page::new(log.types(), held);
    let mut considered_bytes = 0;
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
            if !page.add(&event, &bounds)? {
                break 'page (true, page.last);
            }
            page.yield_after_some().await;
        }
        if considered_bytes >= CONSIDERED_BYTES_MAX {
            break (true, up_to());
        }
    };
    Ok(page.finish(has_more, up_to))
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
    // Nobody sees it.
    let any = EventFilter::unrestricted(WantedEvents::default());
    let mut last = log.follow_after(before_last, any).await?;
    while !matches!(last.next().await?, Followed::Events(_)) {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use access::{Access, ByteBudget, Caller, Peer, Shares};
    use event_log::LogConfig;
    use serde_json::Value;
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
        let mut positions: Vec<u64> = Vec::new();
        loop {
            let everything = EventFilter::unrestricted(WantedEvents::default());
            let bounds = Bounds {
                events_max: 70,
                time_max: Duration::ZERO,
                bytes: AnswerBytes::of(&shares, &caller),
            };
            let page = read(&log, range, everything, bounds).await;
            let page = page.unwrap();
            // Its begin and its end do not count.
            let events_bytes = page.text.len().saturating_sub(100) as u64;
            assert!(shares.whole().held() >= events_bytes);
            let page: Value = serde_json::from_slice(&page.text).unwrap();
            let events = page["events"].as_array().unwrap();
            // 64-bit numbers are texts in JSON of protobuf.
            let position =
                |event: &Value| event["position"].as_str().unwrap().parse::<u64>().unwrap();
            positions.extend(events.iter().map(position));
            if page["next"].is_null() {
                break;
            }
            assert_eq!(page["next"], page["up_to"]);
            let next = page["next"].as_u64();
            assert!(next > range.after_position);
            range.after_position = next;
        }
        assert_eq!(positions, (1..=500).collect::<Vec<_>>());
        assert_eq!(shares.whole().held(), 0);
    }
}
