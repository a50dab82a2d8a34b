//! The task that receives the events of one source: connects, resumes where it was, and proves that
//! it missed nothing.

use std::{convert::Infallible, sync::Arc, time::Duration};

use atlas_events::{Clock, Event, Timestamp, event::Payload};
use prost::Message;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    Backoff, ConsumerError, SourcedEvent, StartAt,
    checkpoint::Checkpoint,
    cursor::Cursor,
    lag::SourceState,
    source::{Begin, Feed, LogState, Source, SourceFault, Subscription},
};

/// Chunks that may wait for the consumer; with what one chunk may hold, the bound of memory.
const CHUNKS_WAITING_MAX: usize = 4;
/// After this many failures in a row the connection is made anew.
const FAILURES_BEFORE_RECONNECT: u32 = 3;

/// Of a long outage every so many-th failure is told: with pauses of up to a second, about one a
/// minute.
const FAILURES_UNTOLD_MAX: u32 = 128;

/// What a reader received, in order.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) log_id: Uuid,
    /// With their encoded size in bytes.
    pub(crate) events: Vec<(SourcedEvent, usize)>,
    /// Everything wanted up to here was received.
    pub(crate) up_to: u64,
}

/// Readings, until the reader has to give up.
pub(crate) type Readings = mpsc::Receiver<Result<Reading, ConsumerError>>;

pub(crate) struct Reader {
    source: Source,
    service: String,
    heartbeat_interval: Duration,
    backoff: Backoff,
    clock: Clock,
    state: Arc<SourceState>,
    /// The log that the cursor belongs to.
    log_id: Option<Uuid>,
    cursor: Cursor,
    seek: Seek,
    output: mpsc::Sender<Result<Reading, ConsumerError>>,
}

/// Where to begin while there is no cursor.
#[derive(Debug, Clone, Copy)]
enum Seek {
    Beginning,
    Time(chrono::DateTime<chrono::Utc>),
    Live,
}

enum Fault {
    /// Passes by itself, perhaps.
    Lost(String),
    /// The consumer has to stop.
    Fatal(ConsumerError),
    /// Nobody reads any more.
    Closed,
}

impl From<ConsumerError> for Fault {
    fn from(error: ConsumerError) -> Self {
        Self::Fatal(error)
    }
}

/// What readers of all sources have in common.
#[derive(Debug, Clone)]
pub(crate) struct ReaderSettings {
    pub(crate) service: String,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) clock: Clock,
}

impl Reader {
    /// A reader that goes on from a checkpoint (`None`: where the source is to start), and where
    /// its readings will be.
    pub(crate) fn new(
        source: Source,
        checkpoint: Option<&Checkpoint>,
        settings: ReaderSettings,
        state: Arc<SourceState>,
    ) -> (Self, Readings) {
        let (output, readings) = mpsc::channel(CHUNKS_WAITING_MAX);
        let seek = match (checkpoint, source.start_at) {
            (Some(checkpoint), _) => checkpoint
                .last_processed
                .map_or(Seek::Beginning, Seek::Time),
            (None, StartAt::Beginning) => Seek::Beginning,
            (None, StartAt::Time(time)) => Seek::Time(time),
            (None, StartAt::Live) => Seek::Live,
        };
        let position = checkpoint.and_then(|checkpoint| checkpoint.position);
        let reader = Self {
            cursor: Cursor::new(&source.name, source.filter.is_unfiltered(), position),
            log_id: checkpoint.and_then(|checkpoint| checkpoint.log_id),
            source,
            service: settings.service,
            heartbeat_interval: settings.heartbeat_interval,
            backoff: settings.backoff,
            clock: settings.clock,
            state,
            seek,
            output,
        };
        (reader, readings)
    }

    /// Runs until nobody reads any more, or until it has to give up.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let Err(fault) = self.follow(&mut failures).await;
            self.state.disconnected();
            let reason = match fault {
                Fault::Lost(reason) => reason,
                Fault::Fatal(error) => {
                    let _ = self.output.send(Err(error)).await;
                    return;
                }
                Fault::Closed => return,
            };
            failures += 1;
            self.state.reconnects.increment(1);
            if failures % FAILURES_BEFORE_RECONNECT == 0 {
                self.source.origin.reconnect();
            }
            let pause = self.backoff.pause(failures);
            if is_told(failures) {
                warn!(source = %self.source.name, %reason, failures, ?pause, "lost a source");
            } else {
                debug!(source = %self.source.name, %reason, failures, ?pause, "lost a source");
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow(&mut self, failures: &mut u32) -> Result<Infallible, Fault> {
        let log = self.source.origin.state().await;
        let log = log.map_err(|fault| self.fault(fault, None))?;
        if log.limited {
            self.cursor.allow_gaps();
        }
        let mut feed = self.subscribe(log).await?;
        self.state.connected(log.log_id);
        info!(source = %self.source.name, log_id = %log.log_id, after = self.cursor.position(), "following");
        loop {
            let events = feed.next().await;
            let events = events.map_err(|fault| self.fault(fault, Some(log)))?;
            *failures = 0;
            let (reading, taken) = self.take(log.log_id, events);
            if let Some(reading) = reading {
                let sent = self.output.send(Ok(reading)).await;
                sent.map_err(|_| Fault::Closed)?;
            }
            taken?;
        }
    }

    async fn subscribe(&mut self, log: LogState) -> Result<Feed, Fault> {
        if let Some(expected) = self.log_id.filter(|expected| *expected != log.log_id) {
            return Err(self.other_log(expected, log.log_id).into());
        }
        let begin = match (self.cursor.position(), self.seek) {
            (Some(position), _) => Begin::After(position),
            (None, Seek::Beginning) => Begin::After(log.first_position.saturating_sub(1)),
            (None, Seek::Time(time)) => Begin::Since(time),
            (None, Seek::Live) => Begin::Live,
        };
        let subscription = Subscription {
            begin,
            filter: self.source.filter.clone(),
            log_id: log.log_id,
            consumer: self.service.clone(),
            heartbeat_interval: self.heartbeat_interval,
        };
        let feed = self
            .source
            .origin
            .subscribe(subscription, &self.clock)
            .await;
        let feed = feed.map_err(|fault| self.fault(fault, Some(log)))?;
        if let Begin::After(position) = begin
            && self.cursor.position().is_none()
        {
            self.cursor.take_marker(position)?;
            self.log_id = Some(log.log_id);
        }
        Ok(feed)
    }

    fn other_log(&self, expected: Uuid, found: Uuid) -> ConsumerError {
        ConsumerError::OtherLog {
            name: self.source.name.to_string(),
            expected,
            found,
        }
    }

    /// Whether a fault passes. Without a cursor there is nothing that another log, or one whose
    /// beginning was removed meanwhile, could contradict.
    fn fault(&self, fault: SourceFault, log: Option<LogState>) -> Fault {
        let name = self.source.name.to_string();
        let seeks_beginning =
            self.cursor.position().is_none() && matches!(self.seek, Seek::Beginning);
        Fault::Fatal(match fault {
            SourceFault::Lost(reason) => return Fault::Lost(reason),
            SourceFault::OutOfRange(reason) if seeks_beginning => return Fault::Lost(reason),
            // It was the right log a moment ago: the next look tells which it is now.
            SourceFault::OtherLog(reason) if log.is_some() => return Fault::Lost(reason),
            SourceFault::OtherLog(reason) | SourceFault::Refused(reason) => {
                ConsumerError::Refused { name, reason }
            }
            SourceFault::OutOfRange(reason) => ConsumerError::OutOfRange { name, reason },
            SourceFault::Damaged(reason) => ConsumerError::Damaged { name, reason },
        })
    }

    /// Checks what arrived, and takes the markers out. What came before something wrong is good.
    fn take(
        &mut self,
        log_id: Uuid,
        arrived: Vec<Event>,
    ) -> (Option<Reading>, Result<(), ConsumerError>) {
        let mut events = Vec::with_capacity(arrived.len());
        let before = self.cursor.position();
        let mut arrived = arrived.into_iter();
        let taken = arrived.try_for_each(|event| {
            if event.position == 0 {
                return self.take_marker(event.payload);
            }
            events.push(self.take_event(event)?);
            Ok(())
        });
        self.state.received.increment(events.len() as u64);
        let Some(up_to) = self.cursor.position() else {
            return (None, taken);
        };
        self.log_id = Some(log_id);
        let reading = Reading {
            log_id,
            events,
            up_to,
        };
        ((before != Some(up_to)).then_some(reading), taken)
    }

    fn take_event(&mut self, event: Event) -> Result<(SourcedEvent, usize), ConsumerError> {
        if !is_complete(&event) {
            let reason = format!("the event at {} has no id or time", event.position);
            let name = self.source.name.to_string();
            return Err(ConsumerError::Damaged { name, reason });
        }
        self.cursor.take_event(event.position)?;
        let bytes = event.encoded_len();
        let source = Arc::clone(&self.source.name);
        Ok((SourcedEvent { source, event }, bytes))
    }

    /// Markers of a newer contract are passed over.
    fn take_marker(&mut self, payload: Option<Payload>) -> Result<(), ConsumerError> {
        let (position, head_position, server_time) = match payload {
            Some(Payload::Heartbeat(marker)) => {
                (marker.position, marker.head_position, marker.server_time)
            }
            Some(Payload::CaughtUp(marker)) => {
                (marker.position, marker.position, marker.server_time)
            }
            Some(Payload::FellBehind(marker)) => {
                (marker.position, marker.head_position, marker.server_time)
            }
            _ => return Ok(()),
        };
        self.cursor.take_marker(position)?;
        let server_time = server_time.and_then(Timestamp::to_utc);
        self.state
            .saw_head(head_position, server_time, self.clock.now());
        Ok(())
    }
}

/// Whether an event has what every log gives it, and what a database can store.
fn is_complete(event: &Event) -> bool {
    let has_id = !event.event_id.is_empty() && !event.event_id.contains('\0');
    has_id && event.occurred_at.and_then(Timestamp::to_utc).is_some()
}

/// Whether a failure, of so many in a row, is worth a line: the first ones, then ever fewer.
fn is_told(failures: u32) -> bool {
    failures.is_power_of_two() || failures.is_multiple_of(FAILURES_UNTOLD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_outage_does_not_fill_the_log() {
        let told: Vec<u32> = (1..=400).filter(|failures| is_told(*failures)).collect();
        assert_eq!(told, [1, 2, 4, 8, 16, 32, 64, 128, 256, 384]);
    }
}
