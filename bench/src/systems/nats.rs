//! NATS JetStream: one stream in file storage.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use async_nats::{
    header::{
        HeaderMap, NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
    },
    jetstream::{
        Context, Message as Delivered,
        consumer::{AckPolicy, pull},
        context::ContextBuilder,
        stream,
    },
};
use atlas_events::Event;
use futures::{
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered, StreamExt},
};
use tokio::process::Command;

use super::{
    Running, Subscriber,
    order::{Checked, Order, encode},
    process::{Folder, Process, free_port},
};
use crate::load::{Acknowledged, Publisher};

/// What makes it sync before it acknowledges; by default it syncs every two minutes.
pub(super) const DURABLE: &str = "sync_interval: always";
const LOG: &str = "log";
/// Events that a reader asks for at once.
const PULL_EVENTS: usize = 5_000;
/// A window of events, each synced by itself, may take longer than the client's default.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Nats {
    // Before the folder of its data, which goes with it.
    _process: Process,
    pid: u32,
    port: u16,
}

impl Nats {
    pub(super) async fn start(program: &Path, folder: Folder, durable: bool) -> Result<Self> {
        let port = free_port()?;
        let sync = if durable { DURABLE } else { "" };
        let config =
            format!("listen: 127.0.0.1:{port}\njetstream {{ store_dir: store\n{sync} }}\n");
        fs::write(folder.path().join("nats.conf"), config)?;
        let mut command = Command::new(program);
        command.args(["-c", "nats.conf"]);
        let process = Process::start(&mut command, folder, port).await?;
        let nats = Self {
            pid: process.pid,
            _process: process,
            port,
        };
        let config = stream::Config {
            name: LOG.to_owned(),
            subjects: vec![LOG.to_owned()],
            storage: stream::StorageType::File,
            allow_atomic_publish: true,
            ..stream::Config::default()
        };
        nats.connect().await?.create_stream(config).await?;
        Ok(nats)
    }

    async fn connect(&self) -> Result<Context> {
        let client = async_nats::connect(format!("127.0.0.1:{}", self.port)).await?;
        Ok(ContextBuilder::new().timeout(PATIENCE).build(client))
    }
}

impl Running for Nats {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn publisher(&self, _: usize) -> BoxFuture<'_, Result<Box<dyn Publisher>>> {
        Box::pin(async {
            let publisher = NatsPublisher {
                context: self.connect().await?,
                in_flight: FuturesUnordered::new(),
                sent: 0,
            };
            Ok(Box::new(publisher) as Box<dyn Publisher>)
        })
    }

    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>>> {
        Box::pin(async {
            let consumer = pull::Config {
                ack_policy: AckPolicy::None,
                memory_storage: true,
                ..pull::Config::default()
            };
            let context = self.connect().await?;
            let consumer = context.create_consumer_on_stream(consumer, LOG).await?;
            let messages = consumer
                .stream()
                .max_messages_per_batch(PULL_EVENTS)
                .messages()
                .await?;
            let messages = messages.map(|message| message.map_err(|error| anyhow!("{error}")));
            let subscriber = NatsSubscriber {
                messages: messages.boxed(),
                order: Order::new(),
            };
            Ok(Box::new(subscriber) as Box<dyn Subscriber>)
        })
    }

    fn close(self: Box<Self>, events: u64) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let stream = self.connect().await?.get_stream(LOG).await?;
            let stored = stream.get_info().await?.state.messages;
            ensure!(stored == events, "{stored} stored, {events} acknowledged");
            Ok(())
        })
    }
}

struct NatsPublisher {
    context: Context,
    in_flight: FuturesUnordered<BoxFuture<'static, Result<Acknowledged>>>,
    sent: u64,
}

impl Publisher for NatsPublisher {
    fn send(&mut self, events: Vec<Event>, due_us: u64) -> Result<()> {
        let context = self.context.clone();
        let first = self.sent + 1;
        self.sent += events.len() as u64;
        self.in_flight.push(Box::pin(async move {
            let positions = publish(context, events, first).await?;
            Ok(Acknowledged { due_us, positions })
        }));
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn acknowledged(&mut self) -> BoxFuture<'_, Result<Acknowledged>> {
        Box::pin(async {
            let next = self.in_flight.next().await;
            next.context("nothing is in flight")?
        })
    }
}

/// Several events are an atomic batch.
async fn publish(context: Context, mut events: Vec<Event>, first: u64) -> Result<Vec<u64>> {
    if events.len() > 1 {
        return publish_batch(context, events, first).await;
    }
    let event = events.pop().context("an empty request")?;
    let acknowledgement = context.publish(LOG, encode(event, first)).await?.await?;
    Ok(vec![acknowledgement.sequence])
}

/// The server holds the events back until the last one commits them.
async fn publish_batch(context: Context, events: Vec<Event>, first: u64) -> Result<Vec<u64>> {
    let batch = first.to_string();
    let count = events.len() as u64;
    for (number, event) in (1..).zip(events) {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_BATCH_ID, batch.as_str());
        headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
        let body = encode(event, first + number - 1);
        if number < count {
            let client = context.client();
            client.publish_with_headers(LOG, headers, body).await?;
        } else {
            headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            let answer = context.publish_with_headers(LOG, headers, body).await?;
            let last = answer.await?.sequence;
            return Ok((last + 1 - count..=last).collect());
        }
    }
    Ok(Vec::new())
}

struct NatsSubscriber {
    messages: BoxStream<'static, Result<Delivered>>,
    order: Order,
}

impl NatsSubscriber {
    async fn read(&mut self) -> Result<()> {
        while !self.order.complete() {
            let message = self.messages.next().await.context("the stream ended")??;
            self.order.take(&message.payload)?;
        }
        Ok(())
    }
}

impl Checked for NatsSubscriber {
    fn order(&mut self) -> &mut Order {
        &mut self.order
    }

    fn read(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::read(self))
    }
}
