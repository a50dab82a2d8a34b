//! The task that receives the events of one source: connects, resumes where it was, and proves that
//! it missed nothing.

use std::{convert::Infallible, sync::Arc, time::Duration};

use atlas_events::{Clock, Event, Timestamp, event::Payload};
use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::{
    Backoff, ConsumerError, LastEvent, SourcedEvent, StartAt,
    checkpoint::{Checkpoint, SeekLimit},
    source::{
        Begin, Feed, LogState, Source, SourceFault, Subscription, cursor::Cursor, lag::SourceState,
    },
};

/// Chunks that may wait for the consumer; with what one chunk may hold, the bound of memory.
const CHUNKS_WAITING_MAX: usize = 4;
/// After this many failures in a row the connection is made anew.
const FAILURES_BEFORE_RECONNECT: u32 = 3;

/// Of a long outage every so many-th failure is marker: with pauses of up to a second, about one a
/// minute.
const FAILURES_UNLOGGED_MAX: u32 = 128;

/// How much earlier than a time a reset to it begins, where it is not known what was processed: in
/// another log than the one of the checkpoint.
const SEEK_MARGIN: TimeDelta = TimeDelta::days(1);

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
    /// The last event that was processed or received, at or before the cursor.
    last_event: Option<LastEvent>,
    seek: Seek,
    output: mpsc::Sender<Result<Reading, ConsumerError>>,
}

/// Where to begin while there is no cursor.
#[derive(Debug, Clone, Copy)]
enum Seek {
    Beginning,
    /// To a time; after a reset, with what had been processed before.
    Time(DateTime<Utc>, Option<SeekLimit>),
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
            (Some(checkpoint), _) => match checkpoint.last_processed {
                Some(time) => Seek::Time(time, checkpoint.seek_limit),
                None => Seek::Beginning,
            },
            (None, StartAt::Beginning) => Seek::Beginning,
            (None, StartAt::Time(time)) => Seek::Time(time, None),
            (None, StartAt::Live) => Seek::Live,
        };
        let position = checkpoint.and_then(|checkpoint| checkpoint.position);
        let reader = Self {
            cursor: Cursor::new(&source.name, source.filter.is_unfiltered(), position),
            log_id: checkpoint.and_then(|checkpoint| checkpoint.log_id),
            last_event: checkpoint.and_then(|checkpoint| checkpoint.last_event.clone()),
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
            if is_logged(failures) {
                warn!(source = %self.source.name, %reason, failures, ?pause, "lost a source");
            } else {
                debug!(source = %self.source.name, %reason, failures, ?pause, "lost a source");
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow(&mut self, failures: &mut u32) -> Result<Infallible, Fault> {
        let log = self.source.origin.state().await;
        let log = log.map_err(|fault| self.fault(fault))?;
        if log.limited {
            self.cursor.allow_gaps();
        }
        self.check_history(log).await?;
        let mut feed = self.subscribe(log).await?;
        self.state.connected(log.log_id);
        info!(source = %self.source.name, log_id = %log.log_id, after = self.cursor.position(), "following");
        loop {
            let events = feed.next().await;
            let events = events.map_err(|fault| self.fault(fault))?;
            *failures = 0;
            if let Some(limit) = self.passes_by(log, &events) {
                feed = self.follow_after(log, limit).await?;
                continue;
            }
            let (reading, taken) = self.take(log.log_id, events);
            if let Some(reading) = reading {
                let sent = self.output.send(Ok(reading)).await;
                sent.map_err(|_| Fault::Closed)?;
            }
            taken?;
        }
    }

    /// The log is the one that was followed, and holds what was taken of it.
    async fn check_history(&self, log: LogState) -> Result<(), Fault> {
        if let Some(expected) = self.log_id.filter(|expected| *expected != log.log_id) {
            return Err(self.other_log(expected, log.log_id).into());
        }
        let Some(last) = &self.last_event else {
            return Ok(());
        };
        let found = self.source.contradiction(&log, last).await;
        let Some(reason) = found.map_err(|fault| self.fault(fault))? else {
            return Ok(());
        };
        let name = self.source.name.to_string();
        Err(Fault::Fatal(match self.cursor.position() {
            Some(after) if after > log.last_position => ConsumerError::OutOfRange { name, reason },
            _ => ConsumerError::HistoryChanged { name, reason },
        }))
    }

    async fn subscribe(&mut self, log: LogState) -> Result<Feed, Fault> {
        let begin = match (self.cursor.position(), self.seek) {
            (Some(position), _) => Begin::After(position),
            (None, Seek::Beginning) => Begin::After(log.first_position.saturating_sub(1)),
            (None, Seek::Time(time, limit)) => self.begin_at(log, time, limit).await?,
            (None, Seek::Live) => Begin::Live,
        };
        let feed = self.feed(log, begin).await;
        let feed = feed.map_err(|fault| self.fault(fault))?;
        if let Begin::After(position) = begin
            && self.cursor.position().is_none()
        {
            self.cursor.take_marker(position)?;
            self.log_id = Some(log.log_id);
        }
        Ok(feed)
    }

    async fn feed(&self, log: LogState, begin: Begin) -> Result<Feed, SourceFault> {
        let subscription = Subscription {
            begin,
            filter: self.source.filter.clone(),
            log_id: log.log_id,
            consumer: self.service.clone(),
            heartbeat_interval: self.heartbeat_interval,
        };
        self.source
            .origin
            .subscribe(subscription, &self.clock)
            .await
    }

    /// Where a reset to a time begins. In the log that was processed, [`Self::passes_by`] sees to it
    /// that nothing is left out. In another one nobody knows what was processed: so it begins earlier
    /// than was asked for, as events may be stored some time after they occurred.
    async fn begin_at(
        &self,
        log: LogState,
        time: DateTime<Utc>,
        limit: Option<SeekLimit>,
    ) -> Result<Begin, Fault> {
        if limit.is_none_or(|limit| limit.log_id == Some(log.log_id)) {
            return Ok(Begin::Since(time));
        }
        // The time itself has to be one that the log keeps.
        let asked = self.feed(log, Begin::Since(time)).await;
        asked.map_err(|fault| self.fault(fault))?;
        let earlier = time.checked_sub_signed(SEEK_MARGIN).unwrap_or(time);
        match self.feed(log, Begin::Since(earlier)).await {
            Ok(_) => Ok(Begin::Since(earlier)),
            Err(SourceFault::OutOfRange(_)) => Ok(Begin::After(log.first_position - 1)),
            Err(fault) => Err(self.fault(fault)),
        }
    }

    /// Where to begin instead, if a reset to a time would leave out what was not processed: of events
    /// stored late, those of earlier times may lie there.
    fn passes_by(&self, log: LogState, arrived: &[Event]) -> Option<u64> {
        let (None, Seek::Time(_, Some(limit))) = (self.cursor.position(), self.seek) else {
            return None;
        };
        if limit.log_id != Some(log.log_id) {
            return None;
        }
        let before = match arrived.first()? {
            event if event.position > 0 => event.position - 1,
            event => marker(event.payload.as_ref())?.position,
        };
        // What retention has removed cannot be left out.
        let limit = limit.position.max(log.first_position.saturating_sub(1));
        (before > limit).then_some(limit)
    }

    async fn follow_after(&mut self, log: LogState, position: u64) -> Result<Feed, Fault> {
        info!(
            source = %self.source.name, position,
            "resuming at the checkpoint, which is before the requested start time"
        );
        let feed = self.feed(log, Begin::After(position)).await;
        let feed = feed.map_err(|fault| self.fault(fault))?;
        self.cursor.take_marker(position)?;
        self.log_id = Some(log.log_id);
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
    fn fault(&self, fault: SourceFault) -> Fault {
        let name = self.source.name.to_string();
        let seeks_beginning =
            self.cursor.position().is_none() && matches!(self.seek, Seek::Beginning);
        Fault::Fatal(match fault {
            SourceFault::Lost(reason) => return Fault::Lost(reason),
            SourceFault::OutOfRange(reason) if seeks_beginning => return Fault::Lost(reason),
            // The next look finds out which log it is now.
            SourceFault::OtherLog(reason) => return Fault::Lost(reason),
            // What was received is there still, for all that is known: the next look proves it.
            SourceFault::WentBack {
                reason,
                last_position: Some(last),
            } if self
                .cursor
                .position()
                .is_none_or(|position| position <= last) =>
            {
                return Fault::Lost(reason);
            }
            SourceFault::WentBack { reason, .. } => ConsumerError::HistoryChanged { name, reason },
            SourceFault::Refused(reason) => ConsumerError::Refused { name, reason },
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
                return self.take_marker(log_id, event.payload);
            }
            events.push(self.take_event(event)?);
            Ok(())
        });
        self.state.received.increment(events.len() as u64);
        let Some(up_to) = self.cursor.position() else {
            return (None, taken);
        };
        self.log_id = Some(log_id);
        if let Some((last, _)) = events.last() {
            self.last_event = Some(last.into());
        }
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
    fn take_marker(&mut self, log_id: Uuid, payload: Option<Payload>) -> Result<(), ConsumerError> {
        let Some(marker) = marker(payload.as_ref()) else {
            return Ok(());
        };
        if let Some(found) = marker.log_id.filter(|found| *found != log_id) {
            return Err(self.other_log(log_id, found));
        }
        self.cursor.take_marker(marker.position)?;
        // 0 where the server cannot say: what is known stays.
        if marker.head_position > 0 || marker.position == 0 {
            self.state
                .saw_head(marker.head_position, marker.server_time, self.clock.now());
        }
        Ok(())
    }
}

/// What a marker says.
struct Marker {
    /// `None`: by a server that does not send it yet.
    log_id: Option<Uuid>,
    position: u64,
    head_position: u64,
    server_time: Option<DateTime<Utc>>,
}

/// `None` for what is no marker that is known.
fn marker(payload: Option<&Payload>) -> Option<Marker> {
    let (log_id, position, head_position, server_time) = match payload? {
        Payload::Heartbeat(m) => (&m.log_id, m.position, m.head_position, m.server_time),
        Payload::CaughtUp(m) => (&m.log_id, m.position, m.position, m.server_time),
        Payload::FellBehind(m) => (&m.log_id, m.position, m.head_position, m.server_time),
        _ => return None,
    };
    Some(Marker {
        log_id: log_id.parse().ok(),
        position,
        head_position,
        server_time: server_time.and_then(Timestamp::to_utc),
    })
}

/// Whether an event has what every log gives it, and what a database can store.
fn is_complete(event: &Event) -> bool {
    let has_id = !event.event_id.is_empty() && !event.event_id.contains('\0');
    has_id && event.occurred_at.and_then(Timestamp::to_utc).is_some()
}

/// Whether a failure, of so many in a row, is worth a line: the first ones, then ever fewer.
fn is_logged(failures: u32) -> bool {
    failures.is_power_of_two() || failures.is_multiple_of(FAILURES_UNLOGGED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_outage_does_not_fill_the_log() {
        let logged: Vec<u32> = (1..=400).filter(|failures| is_logged(*failures)).collect();
        assert_eq!(logged, [1, 2, 4, 8, 16, 32, 64, 128, 256, 384]);
    }
}
