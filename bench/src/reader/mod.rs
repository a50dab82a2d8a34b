//! Subscribers that check what they get.

pub(crate) mod raw;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use atlas_events::{
    Event, SubscriptionRequest, event::Payload, event_stream_client::EventStreamClient,
};
use futures::FutureExt;
use tokio::time::timeout;
use tonic::{
    Request, Streaming, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel,
};

use crate::load::clock::Latencies;
use raw::{ScanCodec, Scanned};

const SUBSCRIBE: &str = "/atlas.events.EventStream/SubscribeToEvents";
/// How long a reader may wait for an event before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// An event as a reader gets it.
pub(crate) trait Received {
    /// Its position.
    fn position(&self) -> u64;
    /// When it was due, in microseconds since the Unix epoch.
    fn due_us(&self) -> u64;
}

impl Received for Event {
    fn position(&self) -> u64 {
        self.position
    }

    fn due_us(&self) -> u64 {
        self.occurred_at.map_or(0, |at| {
            at.seconds as u64 * 1_000_000 + at.nanos as u64 / 1_000
        })
    }
}

impl Received for Scanned {
    fn position(&self) -> u64 {
        self.position
    }

    fn due_us(&self) -> u64 {
        self.occurred_at_us
    }
}

/// A subscription to everything after a position.
pub(crate) struct Reader<T> {
    stream: Streaming<T>,
    position: u64,
}

impl Reader<Event> {
    /// Decodes every event, as a service does.
    pub(crate) async fn decoding(channel: Channel, after: u64) -> Result<Self> {
        let request = subscription(after);
        let answer = EventStreamClient::new(channel)
            .subscribe_to_events(request)
            .await?;
        Ok(Self {
            stream: answer.into_inner(),
            position: after,
        })
    }

    /// The same, once it is known to be live: all that is stored has been delivered.
    pub(crate) async fn live(channel: Channel, after: u64) -> Result<Self> {
        let mut request = subscription(after);
        request.heartbeat_interval = Some(Duration::from_secs(3_600).into());
        let answer = EventStreamClient::new(channel)
            .subscribe_to_events(request)
            .await?;
        let mut stream = answer.into_inner();
        let first = timeout(PATIENCE, stream.message())
            .await
            .context("no marker came")??;
        match first.and_then(|event| event.payload) {
            Some(Payload::CaughtUp(marker)) if marker.position == after => {}
            other => bail!("{other:?} came where the caught-up marker was due"),
        }
        Ok(Self {
            stream,
            position: after,
        })
    }
}

/// Looks through all that is stored for events of a type that nobody publishes, until it is live.
pub(crate) async fn search(channel: Channel) -> Result<()> {
    let mut request = subscription(0);
    request.event_types = vec!["custom:Nothing".to_owned()];
    request.heartbeat_interval = Some(Duration::from_secs(3_600).into());
    let mut client = EventStreamClient::new(channel);
    let mut stream = client.subscribe_to_events(request).await?.into_inner();
    let first = stream.message().await?.context("the stream ended")?;
    ensure!(
        matches!(first.payload, Some(Payload::CaughtUp(_))),
        "{first:?} came"
    );
    Ok(())
}

impl Reader<Scanned> {
    /// Reads nothing but position and time.
    pub(crate) async fn raw(channel: Channel, after: u64) -> Result<Self> {
        let mut client = Grpc::new(channel);
        client.ready().await?;
        let request = Request::new(subscription(after));
        let path = PathAndQuery::from_static(SUBSCRIBE);
        let answer = client.server_streaming(request, path, ScanCodec).await?;
        Ok(Self {
            stream: answer.into_inner(),
            position: after,
        })
    }
}

impl<T: Received> Reader<T> {
    /// Everything up to here has been received.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next event, which is proved to be the one after the last.
    pub(crate) async fn next(&mut self) -> Result<T> {
        // A timer for each of many ready events would cost more than the events.
        let next = match self.stream.message().now_or_never() {
            Some(next) => next,
            None => timeout(PATIENCE, self.stream.message())
                .await
                .with_context(|| format!("nothing came after position {}", self.position))?,
        };
        let event = next?.context("the stream ended")?;
        let (due, came) = (self.position + 1, event.position());
        ensure!(came == due, "position {came} came where {due} was due");
        self.position = due;
        Ok(event)
    }

    /// Reads up to a position; latencies count from behind `warm_up`.
    pub(crate) async fn read_to(&mut self, last: u64, warm_up: u64) -> Result<Latencies> {
        let mut latencies = Latencies::new()?;
        while self.position < last {
            let event = self.next().await?;
            if event.position() > warm_up {
                latencies.record_since(event.due_us())?;
            }
        }
        Ok(latencies)
    }

    /// Reads up to a position, without looking at the clock.
    pub(crate) async fn skip_to(&mut self, last: u64) -> Result<()> {
        while self.position < last {
            self.next().await?;
        }
        Ok(())
    }
}

fn subscription(after: u64) -> SubscriptionRequest {
    SubscriptionRequest {
        after_position: Some(after),
        consumer: "atlas-bench".to_owned(),
        ..SubscriptionRequest::default()
    }
}
