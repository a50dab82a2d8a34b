//! What TimescaleDB does without ATLAS: binary COPY into the very table of a log, a transaction for
//! what waits, a prepared single row where one event is in flight, and binary COPY out in the order
//! of positions. No positions under a lock, no look-up of ids, no notification.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use atlas_events::Event;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{SinkExt, StreamExt, future::BoxFuture};
use tokio::sync::mpsc;
use tokio_postgres::{
    Client, CopyInSink, NoTls, Statement, binary_copy::BinaryCopyOutStream, types::Type,
};

use super::{
    Running, Subscriber,
    order::{Checked, Order},
};
use crate::{
    load::{Acknowledged, Publisher},
    rows::{self, Row},
    stage::{
        database,
        serve::{SCHEMA, open_log},
    },
};

/// Events that share a transaction at the most, unless one request is larger.
const GROUP_EVENTS: usize = 1_000;

pub(super) struct Bare {
    /// The server's, to make and drop databases by.
    server_url: String,
    database: String,
    url: String,
    position: Arc<AtomicU64>,
}

impl Bare {
    pub(super) async fn start(server_url: &str) -> Result<Self> {
        database::checkpoint(server_url).await?;
        let (database, url) = database::create(server_url).await?;
        // Makes the tables as ATLAS does.
        open_log(&url).await?.close().await;
        Ok(Self {
            server_url: server_url.to_owned(),
            database,
            url,
            position: Arc::default(),
        })
    }

    async fn connect(&self) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await?;
        tokio::spawn(connection);
        client
            .batch_execute(&format!("set search_path = {SCHEMA}, public"))
            .await?;
        Ok(client)
    }
}

impl Running for Bare {
    fn pid(&self) -> u32 {
        0
    }

    fn publisher(&self, window: usize) -> BoxFuture<'_, Result<Box<dyn Publisher>>> {
        Box::pin(async move {
            let client = self.connect().await?;
            let row = client.prepare(rows::INSERT).await?;
            let (requests, waiting) = mpsc::unbounded_channel();
            let (done, answers) = mpsc::unbounded_channel();
            let writer = Writer {
                client,
                row: (window == 1).then_some(row),
                position: Arc::clone(&self.position),
                waiting,
                done,
            };
            tokio::spawn(writer.run());
            let publisher = CopyPublisher {
                requests,
                answers,
                in_flight: VecDeque::new(),
            };
            Ok(Box::new(publisher) as Box<dyn Publisher>)
        })
    }

    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>>> {
        Box::pin(async {
            let client = self.connect().await?;
            client.batch_execute("analyze events").await?;
            let order = Order::new();
            Ok(Box::new(CopyOut { client, order }) as Box<dyn Subscriber>)
        })
    }

    fn close(self: Box<Self>, events: u64) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let client = self.connect().await?;
            let row = client
                .query_one("select count(*)::bigint from events", &[])
                .await?;
            let stored: i64 = row.try_get(0)?;
            ensure!(
                stored as u64 == events,
                "{stored} stored, {events} acknowledged"
            );
            drop(client);
            database::drop(&self.server_url, &self.database).await
        })
    }
}

struct CopyPublisher {
    requests: mpsc::UnboundedSender<Vec<Event>>,
    answers: mpsc::UnboundedReceiver<Result<Vec<u64>>>,
    in_flight: VecDeque<u64>,
}

impl Publisher for CopyPublisher {
    fn send(&mut self, events: Vec<Event>, due_us: u64) -> Result<()> {
        self.in_flight.push_back(due_us);
        self.requests.send(events).context("the writer has ended")
    }

    fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn acknowledged(&mut self) -> BoxFuture<'_, Result<Acknowledged>> {
        Box::pin(async {
            let positions = self
                .answers
                .recv()
                .await
                .context("the writer has ended")??;
            let due_us = self.in_flight.pop_front().context("nothing is in flight")?;
            Ok(Acknowledged { due_us, positions })
        })
    }
}

/// One connection: what queues up while a transaction is under way goes into the next.
struct Writer {
    client: Client,
    /// Where one event is in flight at a time: the statement that stores it.
    row: Option<Statement>,
    position: Arc<AtomicU64>,
    waiting: mpsc::UnboundedReceiver<Vec<Event>>,
    done: mpsc::UnboundedSender<Result<Vec<u64>>>,
}

impl Writer {
    async fn run(mut self) {
        while let Some(mut events) = self.waiting.recv().await {
            let mut requests = vec![events.len() as u64];
            while events.len() < GROUP_EVENTS
                && let Ok(more) = self.waiting.try_recv()
            {
                requests.push(more.len() as u64);
                events.extend(more);
            }
            let count = events.len() as u64;
            let first = self.position.fetch_add(count, Ordering::Relaxed) + 1;
            let mut stored = self.store(&events, first).await;
            let mut next = first;
            for request in requests {
                let positions = (next..next + request).collect();
                next += request;
                let answer = std::mem::replace(&mut stored, Ok(()));
                if self.done.send(answer.map(|()| positions)).is_err() {
                    return;
                }
            }
        }
    }

    async fn store(&self, events: &[Event], first: u64) -> Result<()> {
        let recorded_at = Utc::now();
        let mut numbered = (first..).zip(events);
        if let (Some(statement), [_]) = (&self.row, events)
            && let Some((position, event)) = numbered.next()
        {
            let row = Row::new(position, recorded_at, event);
            self.client.execute(statement, &row.parameters()).await?;
            return Ok(());
        }
        let encoded = rows::copy(numbered.map(|(at, event)| Row::new(at, recorded_at, event)));
        let sink: CopyInSink<Bytes> = self.client.copy_in(rows::COPY_IN).await?;
        let mut sink = Box::pin(sink);
        sink.send(encoded).await?;
        let stored = sink.as_mut().finish().await?;
        ensure!(stored == events.len() as u64, "{stored} rows were stored");
        Ok(())
    }
}

/// Copies out all that follows the last position, again and again.
struct CopyOut {
    client: Client,
    order: Order,
}

impl CopyOut {
    async fn read(&mut self) -> Result<()> {
        while !self.order.complete() {
            let copy = format!(
                "copy (select position, recorded_at, encoded from events where position > {}
                       order by position) to stdout (format binary)",
                self.order.greatest()
            );
            let stream = self.client.copy_out(&copy).await?;
            let types = [Type::INT8, Type::TIMESTAMPTZ, Type::BYTEA];
            let rows = BinaryCopyOutStream::new(stream, &types);
            let mut rows: Pin<Box<_>> = Box::pin(rows.ready_chunks(GROUP_EVENTS));
            while let Some(rows) = rows.next().await {
                for row in rows {
                    let row = row?;
                    let _: DateTime<Utc> = row.try_get(1)?;
                    self.order
                        .take_at(row.try_get::<i64>(0)? as u64, row.try_get(2)?)?;
                }
            }
            if !self.order.complete() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }
}

impl Checked for CopyOut {
    fn order(&mut self) -> &mut Order {
        &mut self.order
    }

    fn read(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::read(self))
    }
}
