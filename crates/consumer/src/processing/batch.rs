//! Events that were received and wait, and the batches that are cut from them.

use std::{collections::VecDeque, time::Duration};

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{
    ConsumerError, SourcedEvent,
    checkpoint::Advance,
    parked::event::{Parking, UNDELIVERABLE},
    source::reader::{Reading, Readings},
};

/// Bounds of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) wait: Duration,
}

/// Events of one source that are processed in one transaction.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) events: Vec<SourcedEvent>,
    /// Events that turned out to be unprocessable: parked in the same transaction.
    pub(crate) parking: Vec<Parking>,
    /// Where the checkpoint goes.
    pub(crate) advance: Advance,
    /// How many times it was tried.
    pub(crate) attempts: u64,
}

impl Batch {
    /// Takes an event out, to be parked.
    pub(crate) fn park(&mut self, index: usize, handler: String, reason: String) {
        let event = self.events.remove(index);
        self.parking.push(Parking {
            event,
            handler,
            reason,
            attempts: self.attempts,
        });
    }

    /// Takes several events out, by their index, ascending.
    pub(crate) fn park_all(&mut self, handler: &str, refused: Vec<(usize, String)>) {
        let mut refused = refused.into_iter().peekable();
        let events = std::mem::take(&mut self.events);
        for (index, event) in events.into_iter().enumerate() {
            match refused.next_if(|(refused, _)| *refused == index) {
                Some((_, reason)) => self.parking.push(Parking {
                    event,
                    handler: handler.to_owned(),
                    reason,
                    attempts: self.attempts,
                }),
                None => self.events.push(event),
            }
        }
    }

    /// A batch for each event, in order; the last moves the checkpoint to where this one would
    /// have.
    pub(crate) fn into_singles(self) -> VecDeque<Self> {
        let (advance, attempts) = (self.advance, self.attempts);
        let single = |event: Option<SourcedEvent>, parking: Option<Parking>| {
            let of = event.as_ref().or(parking.as_ref().map(|p| &p.event));
            let advance = of.map_or(advance, |event| Advance {
                to: event.position(),
                last_processed: Some(event.occurred_at()),
                ..advance
            });
            Self {
                events: event.into_iter().collect(),
                parking: parking.into_iter().collect(),
                advance,
                attempts,
            }
        };
        let events = self
            .events
            .into_iter()
            .map(|event| single(Some(event), None));
        let parking = self
            .parking
            .into_iter()
            .map(|parked| single(None, Some(parked)));
        let mut singles: Vec<Self> = events.chain(parking).collect();
        singles.sort_by_key(|batch| batch.advance.to);
        if let Some(last) = singles.last_mut() {
            last.advance.to = advance.to;
        }
        singles.into()
    }
}

/// What was received of one source and waits to be processed.
#[derive(Debug)]
pub(crate) struct Queue {
    readings: Readings,
    events: VecDeque<(SourcedEvent, usize)>,
    bytes: usize,
    /// Everything received reaches up to here, in this log.
    reached: Option<(Uuid, u64)>,
    /// The same, also of what was taken since.
    received_to: u64,
    /// Why nothing more will be received.
    failure: Option<ConsumerError>,
}

impl Queue {
    pub(crate) fn new(readings: Readings) -> Self {
        Self {
            readings,
            events: VecDeque::new(),
            bytes: 0,
            reached: None,
            received_to: 0,
            failure: None,
        }
    }

    /// Drops everything up to a position; false, and nothing is dropped, if not all of it has been
    /// received yet.
    pub(crate) fn skip_to(&mut self, position: u64) -> bool {
        if position > self.received_to {
            return false;
        }
        while let Some((event, bytes)) = self.events.front()
            && event.position() <= position
        {
            self.bytes -= bytes;
            self.events.pop_front();
        }
        self.reached = self.reached.filter(|(_, reached)| *reached > position);
        true
    }

    /// Whether a batch can be made.
    pub(crate) fn is_ready(&self) -> bool {
        self.reached.is_some() || self.failure.is_some()
    }

    /// Waits until a batch can be made. May be dropped and called again without loss.
    pub(crate) fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> bool {
        while !self.is_ready() {
            match self.readings.poll_recv(context) {
                std::task::Poll::Ready(Some(reading)) => self.push(reading),
                // A reader reports why it ends; one that ended without a report was stopped by its owner.
                std::task::Poll::Ready(None) | std::task::Poll::Pending => return false,
            }
        }
        true
    }

    fn push(&mut self, reading: Result<Reading, ConsumerError>) {
        match reading {
            Ok(reading) => {
                self.reached = Some((reading.log_id, reading.up_to));
                self.received_to = reading.up_to;
                self.bytes += reading.events.iter().map(|(_, bytes)| bytes).sum::<usize>();
                self.events.extend(reading.events);
            }
            Err(failure) => self.failure = Some(failure),
        }
    }

    /// The next batch; `None` if there is nothing.
    ///
    /// # Errors
    /// Why the source gave up, once all that came before was taken.
    pub(crate) async fn next(&mut self, limits: Limits) -> Result<Option<Batch>, ConsumerError> {
        let deadline = Instant::now() + limits.wait;
        let is_full =
            |queue: &Self| queue.events.len() >= limits.events || queue.bytes >= limits.bytes;
        // A position without events has waited for a heartbeat already.
        while self.failure.is_none() && !is_full(self) && !self.events.is_empty() {
            match timeout_at(deadline, self.readings.recv()).await {
                Ok(Some(reading)) => self.push(reading),
                Ok(None) | Err(_) => break,
            }
        }
        match (self.take(limits), self.failure.take()) {
            (None, Some(failure)) => Err(failure),
            (batch, failure) => {
                self.failure = failure;
                Ok(batch)
            }
        }
    }

    fn take(&mut self, limits: Limits) -> Option<Batch> {
        let (log_id, reached) = self.reached?;
        let mut events: Vec<SourcedEvent> = Vec::new();
        let mut bytes = 0;
        while let Some((_, next_bytes)) = self.events.front()
            && events.len() < limits.events.max(1)
            && (events.is_empty() || bytes + next_bytes <= limits.bytes)
        {
            bytes += next_bytes;
            events.extend(self.events.pop_front().map(|(event, _)| event));
        }
        self.bytes -= bytes;
        let last = events.last();
        let to = match last {
            Some(last) if !self.events.is_empty() => last.position(),
            _ => {
                self.reached = None;
                reached
            }
        };
        Some(Batch {
            advance: Advance {
                log_id,
                to,
                last_processed: last.map(SourcedEvent::occurred_at),
            },
            parking: park_undeliverable(&mut events),
            events,
            attempts: 0,
        })
    }
}

/// Takes out what stands in for events that could not be delivered: no handler can process them.
fn park_undeliverable(events: &mut Vec<SourcedEvent>) -> Vec<Parking> {
    let undeliverable = events.extract_if(.., |event| event.undeliverable().is_some());
    let parking = undeliverable.map(|event| Parking {
        reason: event.undeliverable().unwrap_or_default(),
        event,
        handler: UNDELIVERABLE.to_owned(),
        attempts: 0,
    });
    parking.collect()
}

#[cfg(test)]
mod tests {
    use atlas_events::Event;
    use tokio::sync::mpsc;

    use super::*;

    const LIMITS: Limits = Limits {
        events: 3,
        bytes: 100,
        wait: Duration::ZERO,
    };

    fn event(position: u64) -> SourcedEvent {
        let event = Event {
            position,
            ..Event::default()
        };
        SourcedEvent {
            source: "a".into(),
            event,
        }
    }

    /// Positions of the batches that come of readings of events with these sizes.
    async fn batches(readings: Vec<(&[usize], u64)>, limits: Limits) -> Vec<(Vec<u64>, u64)> {
        let (output, input) = mpsc::channel(100);
        let mut position = 0;
        for (sizes, up_to) in readings {
            let events = sizes.iter().map(|bytes| {
                position += 1;
                (event(position), *bytes)
            });
            let events = events.collect();
            let log_id = Uuid::nil();
            let reading = Reading {
                log_id,
                events,
                up_to,
            };
            output.send(Ok(reading)).await.unwrap();
        }
        let mut queue = Queue::new(input);
        let mut batches = Vec::new();
        while std::future::poll_fn(|context| std::task::Poll::Ready(queue.poll_ready(context)))
            .await
        {
            let batch = queue.next(limits).await.unwrap().unwrap();
            let positions = batch.events.iter().map(SourcedEvent::position).collect();
            batches.push((positions, batch.advance.to));
        }
        batches
    }

    #[tokio::test]
    async fn a_batch_is_bounded_by_events_and_bytes() {
        let made = batches(vec![(&[1, 1], 2), (&[1, 1, 1], 5)], LIMITS).await;
        assert_eq!(made, [(vec![1, 2, 3], 3), (vec![4, 5], 5)]);
        let made = batches(vec![(&[60, 60, 30, 200, 1], 5)], LIMITS).await;
        let expected = [(vec![1], 1), (vec![2, 3], 3), (vec![4], 4), (vec![5], 5)];
        assert_eq!(made, expected);
    }

    fn reading(events: impl Iterator<Item = u64>, up_to: u64) -> Reading {
        Reading {
            log_id: Uuid::nil(),
            events: events.map(|position| (event(position), 10)).collect(),
            up_to,
        }
    }

    #[tokio::test]
    async fn what_is_skipped_never_comes_and_only_what_was_received_is_skipped() {
        for position in 1..=12 {
            let (output, input) = mpsc::channel(100);
            let mut queue = Queue::new(input);
            queue.push(Ok(reading(1..=4, 4)));
            queue.push(Ok(reading(5..=6, 8)));
            let skipped = queue.skip_to(position);
            assert_eq!(skipped, position <= 8, "{position}");
            output.send(Ok(reading(9..=10, 10))).await.unwrap();
            let (mut positions, mut end) = (Vec::new(), if skipped { position } else { 0 });
            while std::future::poll_fn(|context| std::task::Poll::Ready(queue.poll_ready(context)))
                .await
            {
                let batch = queue.next(LIMITS).await.unwrap().unwrap();
                assert!(batch.advance.to > end, "{} after {end}", batch.advance.to);
                end = batch.advance.to;
                positions.extend(batch.events.iter().map(SourcedEvent::position));
            }
            let all = (1..=6).chain(9..=10);
            let expected: Vec<u64> = all.filter(|n| !skipped || *n > position).collect();
            assert_eq!((positions, end, queue.bytes), (expected, 10, 0));
        }
    }

    #[tokio::test]
    async fn the_checkpoint_follows_positions_without_wanted_events() {
        let made = batches(vec![(&[1], 1), (&[], 9), (&[], 20)], LIMITS).await;
        assert_eq!(made, [(vec![1], 20)]);
        let made = batches(vec![(&[], 9)], LIMITS).await;
        assert_eq!(made, [(vec![], 9)]);
    }

    /// No handler can process it; it is parked in the transaction that moves the checkpoint past it.
    #[tokio::test]
    async fn what_could_not_be_delivered_is_parked() {
        let (output, input) = mpsc::channel(1);
        let mut events: Vec<_> = (1..=3).map(|position| (event(position), 1)).collect();
        let stand_in = atlas_events::UndeliverableEvent {
            reason: "NESTED_TOO_DEEP".to_owned(),
            message: "it nests too deep".to_owned(),
            ..Default::default()
        };
        events[1].0.event.payload = Some(atlas_events::event::Payload::Undeliverable(stand_in));
        let reading = Reading {
            log_id: Uuid::nil(),
            events,
            up_to: 3,
        };
        output.send(Ok(reading)).await.unwrap();
        let mut queue = Queue::new(input);
        let is_ready =
            std::future::poll_fn(|context| std::task::Poll::Ready(queue.poll_ready(context)));
        assert!(is_ready.await);
        let batch = queue.next(LIMITS).await.unwrap().unwrap();
        let positions: Vec<_> = batch.events.iter().map(SourcedEvent::position).collect();
        assert_eq!((positions, batch.advance.to), (vec![1, 3], 3));
        let [parking] = &batch.parking[..] else {
            panic!("{:?}", batch.parking);
        };
        assert_eq!(parking.event.position(), 2);
        assert_eq!(parking.reason, "NESTED_TOO_DEEP: it nests too deep");
    }

    #[test]
    fn singles_end_where_the_batch_would_have() {
        let advance = Advance {
            log_id: Uuid::nil(),
            to: 10,
            last_processed: None,
        };
        let mut batch = Batch {
            events: (1..=4).map(event).collect(),
            parking: Vec::new(),
            advance,
            attempts: 1,
        };
        batch.park(1, "h".to_owned(), "r".to_owned());
        let singles = batch.into_singles();
        let shape: Vec<_> = singles
            .iter()
            .map(|single| (single.events.len(), single.parking.len(), single.advance.to))
            .collect();
        assert_eq!(shape, [(1, 0, 1), (0, 1, 2), (1, 0, 3), (1, 0, 10)]);
    }
}
