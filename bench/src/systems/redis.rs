//! Redis Streams, kept in the append-only file.

use std::{collections::VecDeque, path::Path};

use anyhow::{Context, Result, ensure};
use atlas_events::Event;
use futures::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};
use redis::{AsyncConnectionConfig, Client, aio::MultiplexedConnection};
use tokio::process::Command;

use super::{
    Running, Subscriber,
    order::{Checked, Order, encode},
    process::{Folder, Process, free_port},
};
use crate::load::{Acknowledged, Publisher};

const LOG: &str = "log";
const FIELD: &str = "e";
/// Events of one answer.
const READ_EVENTS: usize = 1_000;

pub(super) struct Redis {
    _process: Process,
    pid: u32,
    port: u16,
}

impl Redis {
    /// `fsync` is the setting `appendfsync`.
    pub(super) async fn start(program: &Path, folder: Folder, fsync: &str) -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "yes", "--appendfsync", fsync]);
        let process = Process::start(&mut command, folder, port).await?;
        Ok(Self {
            pid: process.pid,
            _process: process,
            port,
        })
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        let client = Client::open(format!("redis://127.0.0.1:{}", self.port))?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        Ok(client
            .get_multiplexed_async_connection_with_config(&config)
            .await?)
    }
}

impl Running for Redis {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn publisher(&self, _: usize) -> BoxFuture<'_, Result<Box<dyn Publisher>>> {
        Box::pin(async {
            let publisher = RedisPublisher {
                connection: self.connect().await?,
                in_flight: FuturesUnordered::new(),
                sent: 0,
            };
            Ok(Box::new(publisher) as Box<dyn Publisher>)
        })
    }

    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>>> {
        Box::pin(async {
            let subscriber = RedisSubscriber {
                connection: self.connect().await?,
                after: "0".to_owned(),
                read: VecDeque::new(),
                order: Order::new(),
            };
            Ok(Box::new(subscriber) as Box<dyn Subscriber>)
        })
    }

    fn close(self: Box<Self>, events: u64) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let mut connection = self.connect().await?;
            let stored: u64 = redis::cmd("XLEN")
                .arg(LOG)
                .query_async(&mut connection)
                .await?;
            ensure!(stored == events, "{stored} stored, {events} acknowledged");
            Ok(())
        })
    }
}

struct RedisPublisher {
    connection: MultiplexedConnection,
    in_flight: FuturesUnordered<BoxFuture<'static, Result<Acknowledged>>>,
    sent: u64,
}

impl Publisher for RedisPublisher {
    /// Several events are a transaction.
    fn send(&mut self, events: Vec<Event>, due_us: u64) -> Result<()> {
        let mut pipe = redis::pipe();
        if events.len() > 1 {
            pipe.atomic();
        }
        let first = self.sent + 1;
        self.sent += events.len() as u64;
        for (position, event) in (first..).zip(events) {
            let body = encode(event, position);
            pipe.cmd("XADD").arg(LOG).arg("*").arg(FIELD);
            pipe.arg(&body[..]).ignore();
        }
        let positions = (first..=self.sent).collect();
        let mut connection = self.connection.clone();
        self.in_flight.push(Box::pin(async move {
            let () = pipe.query_async(&mut connection).await?;
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

struct RedisSubscriber {
    connection: MultiplexedConnection,
    after: String,
    /// Of the last answer, not looked at yet.
    read: VecDeque<Vec<u8>>,
    order: Order,
}

/// Streams, each with its entries, each with its fields.
type Answer = Vec<(String, Vec<(String, (String, Vec<u8>))>)>;

impl RedisSubscriber {
    async fn read(&mut self) -> Result<()> {
        while !self.order.complete() {
            match self.read.pop_front() {
                Some(body) => self.order.take(&body)?,
                None => self.ask().await?,
            }
        }
        Ok(())
    }

    async fn ask(&mut self) -> Result<()> {
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(READ_EVENTS).arg("BLOCK").arg(0);
        command.arg("STREAMS").arg(LOG).arg(&self.after);
        let mut streams: Answer = command.query_async(&mut self.connection).await?;
        let (_, entries) = streams.pop().context("an empty answer")?;
        self.after
            .clone_from(&entries.last().context("no entries")?.0);
        self.read
            .extend(entries.into_iter().map(|(_, (_, body))| body));
        Ok(())
    }
}

impl Checked for RedisSubscriber {
    fn order(&mut self) -> &mut Order {
        &mut self.order
    }

    fn read(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::read(self))
    }
}
