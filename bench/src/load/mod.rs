//! Publishers that check the receipts they get.

pub(crate) mod clock;
pub(crate) mod message;

use std::collections::VecDeque;

use anyhow::{Context, Result, bail, ensure};
use atlas_events::{
    Event, PublishReceipt, PublishRequest, PublishStreamResponse,
    event_publisher_client::EventPublisherClient, publish_stream_response::Outcome,
};
use futures::future::BoxFuture;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};

use clock::{Latencies, due_times, now_us};
use message::Size;

/// A connection with requests in flight, to whatever system.
pub(crate) trait Publisher: Send {
    /// Sends a request without waiting; several events are one atomic batch.
    fn send(&mut self, events: Vec<Event>, due_us: u64) -> Result<()>;

    /// Requests that are not acknowledged.
    fn in_flight(&self) -> usize;

    /// The next acknowledgement; may be dropped and called again without loss.
    fn acknowledged(&mut self) -> BoxFuture<'_, Result<Acknowledged>>;
}

/// The acknowledgement of a request.
pub(crate) struct Acknowledged {
    pub(crate) due_us: u64,
    /// Of its events, in order. Where a system numbers nothing: how many were sent so far.
    pub(crate) positions: Vec<u64>,
}

/// One publish stream with requests in flight.
pub(crate) struct Pipeline {
    requests: mpsc::Sender<PublishRequest>,
    answers: Streaming<PublishStreamResponse>,
    /// When each unanswered request was due, and how many events it has.
    in_flight: VecDeque<(u64, usize)>,
}

/// The answer to one request.
pub(crate) struct Answer {
    pub(crate) due_us: u64,
    pub(crate) receipts: Vec<PublishReceipt>,
}

impl Pipeline {
    /// Opens a stream that takes up to `window` requests before one is answered.
    pub(crate) async fn open(channel: Channel, window: usize) -> Result<Self> {
        let (requests, outgoing) = mpsc::channel(window);
        let answer = EventPublisherClient::new(channel)
            .publish_stream(ReceiverStream::new(outgoing))
            .await?;
        Ok(Self {
            requests,
            answers: answer.into_inner(),
            in_flight: VecDeque::new(),
        })
    }

    /// The next answer, in the order of the requests.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        let answer = self.answers.message().await?;
        let outcome = answer
            .and_then(|answer| answer.outcome)
            .context("the publish stream ended")?;
        let (due_us, events) = self
            .in_flight
            .pop_front()
            .context("an answer came to no request")?;
        match outcome {
            Outcome::Stored(stored) => {
                let receipts = stored.receipts;
                ensure!(receipts.len() == events, "{} receipts", receipts.len());
                Ok(Answer { due_us, receipts })
            }
            Outcome::Refused(refusal) => bail!("refused: {refusal:?}"),
            Outcome::Heartbeat(_) => bail!("a heartbeat that was not asked for"),
        }
    }
}

impl Publisher for Pipeline {
    /// Fails where the server is a whole window behind.
    fn send(&mut self, events: Vec<Event>, due_us: u64) -> Result<()> {
        self.in_flight.push_back((due_us, events.len()));
        self.requests
            .try_send(PublishRequest {
                events,
                ..PublishRequest::default()
            })
            .context("the server does not keep up")
    }

    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn acknowledged(&mut self) -> BoxFuture<'_, Result<Acknowledged>> {
        Box::pin(async {
            let Answer { due_us, receipts } = self.answer().await?;
            let mut positions = Vec::with_capacity(receipts.len());
            fresh(&receipts, &mut positions)?;
            Ok(Acknowledged { due_us, positions })
        })
    }
}

/// How to publish as fast as acknowledgements allow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlatOut {
    /// Requests in flight.
    pub(crate) window: usize,
    /// Events of a request.
    pub(crate) batch: u64,
    /// Numbers from here on belong to this publisher alone.
    pub(crate) first_number: u64,
    /// Counted are the acknowledgements from here …
    pub(crate) from: Instant,
    /// … to here.
    pub(crate) counted_until: Instant,
    /// Publishing ends here.
    pub(crate) until: Instant,
    /// The size of each event.
    pub(crate) size: Size,
}

/// What a publisher did.
pub(crate) struct Published {
    /// Of all its events, in the order in which they were acknowledged.
    pub(crate) positions: Vec<u64>,
    /// Acknowledged while it counted.
    pub(crate) counted: u64,
    pub(crate) latencies: Latencies,
}

/// Publishes with a window of requests in flight.
pub(crate) async fn flat_out(mut publisher: Box<dyn Publisher>, how: FlatOut) -> Result<Published> {
    let mut published = Published {
        positions: Vec::new(),
        counted: 0,
        latencies: Latencies::new()?,
    };
    let mut number = how.first_number;
    loop {
        let open = Instant::now() < how.until;
        while open && publisher.in_flight() < how.window {
            let due_us = now_us();
            let numbers = number..number + how.batch;
            number = numbers.end;
            let events = numbers.map(|number| message::sized(number, due_us, how.size));
            publisher.send(events.collect(), due_us)?;
        }
        if publisher.in_flight() == 0 {
            return Ok(published);
        }
        let acknowledged = publisher.acknowledged().await?;
        let now = Instant::now();
        if now >= how.from && now < how.counted_until {
            published.counted += acknowledged.positions.len() as u64;
            published.latencies.record_since(acknowledged.due_us)?;
        }
        published.positions.extend(acknowledged.positions);
    }
}

/// Publishes events `0 .. events` one by one with a window of them in flight.
pub(crate) async fn burst(
    mut publisher: Box<dyn Publisher>,
    events: u64,
    window: usize,
) -> Result<()> {
    let (mut number, mut acknowledged) = (0, 0);
    while acknowledged < events {
        while publisher.in_flight() < window && number < events {
            let due_us = now_us();
            publisher.send(vec![message::event(number, due_us)], due_us)?;
            number += 1;
        }
        acknowledged += publisher.acknowledged().await?.positions.len() as u64;
    }
    Ok(())
}

/// Publishes events `0 .. events` at a fixed rate, whatever the acknowledgements do; latencies count
/// from when each event was due, behind the first `warm_up` events.
pub(crate) async fn paced(
    mut publisher: Box<dyn Publisher>,
    rate: u64,
    events: u64,
    warm_up: u64,
) -> Result<Latencies> {
    let mut due = due_times(rate, events);
    let (mut sent, mut acknowledged) = (0, 0);
    let mut latencies = Latencies::new()?;
    while acknowledged < events {
        tokio::select! {
            Some(due_us) = due.recv() => {
                publisher.send(vec![message::event(sent, due_us)], due_us)?;
                sent += 1;
            }
            answer = publisher.acknowledged(), if publisher.in_flight() > 0 => {
                if acknowledged >= warm_up {
                    latencies.record_since(answer?.due_us)?;
                } else {
                    answer?;
                }
                acknowledged += 1;
            }
        }
    }
    Ok(latencies)
}

/// Stores `events` in batches of 1,000 through one stream, with the due time that `due_us` gives
/// each number. Returns their receipts, in order.
pub(crate) async fn fill(
    channel: Channel,
    events: u64,
    due_us: impl Fn(u64) -> u64,
) -> Result<Vec<PublishReceipt>> {
    let window = 4;
    let mut pipeline = Pipeline::open(channel, window).await?;
    let (mut number, mut receipts) = (0, Vec::with_capacity(events as usize));
    while (receipts.len() as u64) < events {
        while pipeline.in_flight() < window && number < events {
            let batch = number..events.min(number + 1_000);
            number = batch.end;
            let batch = batch.map(|number| message::event(number, due_us(number)));
            pipeline.send(batch.collect(), now_us())?;
        }
        receipts.extend(pipeline.answer().await?.receipts);
    }
    Ok(receipts)
}

/// Takes the positions of receipts that must be of new events, in order.
pub(crate) fn fresh(receipts: &[PublishReceipt], positions: &mut Vec<u64>) -> Result<()> {
    for receipt in receipts {
        ensure!(!receipt.duplicate, "{} is new", receipt.event_id);
        let after = positions.last().copied().unwrap_or_default();
        ensure!(receipt.position > after, "positions of a publisher rise");
        positions.push(receipt.position);
    }
    Ok(())
}

/// Checks that publishers together hold each position from 1 on exactly once; returns the last.
pub(crate) fn check_complete(positions: impl Iterator<Item = u64>) -> Result<u64> {
    let mut positions: Vec<u64> = positions.collect();
    positions.sort_unstable();
    for (position, expected) in positions.iter().zip(1..) {
        ensure!(
            *position == expected,
            "position {expected} was acknowledged to nobody"
        );
    }
    Ok(positions.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_a_repeated_position_are_found() {
        assert_eq!(check_complete([2, 1, 3].into_iter()).unwrap(), 3);
        assert!(check_complete([1, 3].into_iter()).is_err());
        assert!(check_complete([1, 1, 2].into_iter()).is_err());
    }
}
