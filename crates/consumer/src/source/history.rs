//! What a log holds, read once, by tools that look back.

use std::{sync::Arc, time::Duration};

use atlas_events::{Clock, Event, Timestamp, event::Payload};
use tracing::warn;

use crate::{
    Backoff, ConsumerError, LastEvent, SourcedEvent,
    source::{Begin, Feed, LogState, Source, SourceFault, Subscription, cursor::Cursor},
};

/// Markers report how far a filtered stream has come: often enough for a progress bar.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
/// After this many failures in a row a source counts as away.
const FAILURES_MAX: u32 = 5;

/// Reads a log from its beginning to where it ended when the reading began, once, without a
/// checkpoint and without any trace. It goes on where it was after a lost connection, and proves that
/// an unfiltered log misses nothing, as a consumer does; unlike one, it gives up on a source that
/// stays away.
#[derive(Debug)]
pub struct HistoryReader {
    source: Source,
    reader_name: String,
    log: LogState,
    cursor: Cursor,
    /// The last event that was read.
    last_event: Option<LastEvent>,
    feed: Option<Feed>,
    backoff: Backoff,
    clock: Clock,
}

impl HistoryReader {
    /// Asks the log what it holds. `reader_name`: as the source shall see who reads.
    ///
    /// # Errors
    /// [`ConsumerError::Away`] if it does not answer.
    pub async fn open(source: Source, reader_name: &str) -> Result<Self, ConsumerError> {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let mut failures = 0;
        let log = loop {
            match source.origin.state().await {
                Ok(log) => break log,
                Err(fault) => pause(&source, fault, &mut failures, &backoff).await?,
            }
        };
        let before = log.first_position.saturating_sub(1);
        Ok(Self {
            cursor: Cursor::new(&source.name, source.filter.is_unfiltered(), Some(before)),
            reader_name: reader_name.to_owned(),
            source,
            log,
            last_event: None,
            feed: None,
            backoff,
            clock: Clock::system(),
        })
    }

    /// The first position that the log keeps; one more than the last if it keeps none.
    pub fn first_position(&self) -> u64 {
        self.log.first_position
    }

    /// Where the reading ends.
    pub fn last_position(&self) -> u64 {
        self.log.last_position
    }

    /// Everything up to here was read.
    pub fn position(&self) -> u64 {
        self.cursor.position().unwrap_or(0)
    }

    /// What comes next, in order; may be empty, when only the position has moved. `None`: everything
    /// was read.
    ///
    /// # Errors
    /// [`ConsumerError`], when the log cannot be read on.
    pub async fn next(&mut self) -> Result<Option<Vec<SourcedEvent>>, ConsumerError> {
        let mut failures = 0;
        loop {
            if self.position() >= self.log.last_position {
                return Ok(None);
            }
            match self.receive().await {
                Ok(events) => return Ok(Some(self.take(events)?)),
                Err(fault) => {
                    self.feed = None;
                    pause(&self.source, fault, &mut failures, &self.backoff).await?;
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<Vec<Event>, SourceFault> {
        let feed = match &mut self.feed {
            Some(feed) => feed,
            None => {
                self.verify().await?;
                let subscription = Subscription {
                    begin: Begin::After(self.position()),
                    filter: self.source.filter.clone(),
                    log_id: self.log.log_id,
                    consumer: self.reader_name.clone(),
                    heartbeat_interval: HEARTBEAT_INTERVAL,
                };
                let origin = &self.source.origin;
                let feed = origin.subscribe(subscription, &self.clock).await?;
                self.feed.insert(feed)
            }
        };
        feed.next().await
    }

    /// What was read is what the log holds still.
    async fn verify(&self) -> Result<(), SourceFault> {
        let Some(last) = &self.last_event else {
            return Ok(());
        };
        let log = self.source.origin.state().await?;
        match self.source.contradiction(&log, last).await? {
            None => Ok(()),
            Some(reason) => Err(SourceFault::WentBack {
                reason,
                last_position: Some(log.last_position),
            }),
        }
    }

    /// Checks what arrived; what was stored since the reading began is left out.
    fn take(&mut self, arrived: Vec<Event>) -> Result<Vec<SourcedEvent>, ConsumerError> {
        let mut events = Vec::with_capacity(arrived.len());
        for event in arrived {
            if event.position == 0 {
                self.take_marker(event.payload)?;
                continue;
            }
            if event.occurred_at.and_then(Timestamp::to_utc).is_none() {
                let name = self.source.name.to_string();
                let reason = format!("the event at {} has no time", event.position);
                return Err(ConsumerError::Damaged { name, reason });
            }
            self.cursor.take_event(event.position)?;
            if event.position <= self.log.last_position {
                let source = Arc::clone(&self.source.name);
                events.push(SourcedEvent { source, event });
            }
        }
        if let Some(last) = events.last() {
            self.last_event = Some(last.into());
        }
        Ok(events)
    }

    fn take_marker(&mut self, payload: Option<Payload>) -> Result<(), ConsumerError> {
        match payload {
            Some(Payload::Heartbeat(marker)) => self.cursor.take_marker(marker.position),
            Some(Payload::CaughtUp(marker)) => self.cursor.take_marker(marker.position),
            Some(Payload::FellBehind(marker)) => self.cursor.take_marker(marker.position),
            // Of a newer contract.
            _ => Ok(()),
        }
    }
}

/// Waits before the next attempt, unless there is to be none.
async fn pause(
    source: &Source,
    fault: SourceFault,
    failures: &mut u32,
    backoff: &Backoff,
) -> Result<(), ConsumerError> {
    let name = source.name.to_string();
    let reason = match fault {
        SourceFault::Lost(reason) => reason,
        SourceFault::OutOfRange(reason) => return Err(ConsumerError::OutOfRange { name, reason }),
        SourceFault::Damaged(reason) => return Err(ConsumerError::Damaged { name, reason }),
        SourceFault::WentBack { reason, .. } => {
            return Err(ConsumerError::HistoryChanged { name, reason });
        }
        SourceFault::OtherLog(reason) | SourceFault::Refused(reason) => {
            return Err(ConsumerError::Refused { name, reason });
        }
    };
    *failures += 1;
    if *failures >= FAILURES_MAX {
        return Err(ConsumerError::Away { name, reason });
    }
    warn!(source = name, %reason, failures, "lost a source");
    source.origin.reconnect();
    tokio::time::sleep(backoff.pause(*failures)).await;
    Ok(())
}
