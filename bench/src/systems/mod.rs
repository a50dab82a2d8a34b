//! What is measured side by side: ATLAS, its peers, and what database and transport do by themselves.

mod atlas;
mod database;
mod grpc;
mod nats;
mod order;
mod process;
mod redis;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use futures::future::BoxFuture;

pub(crate) use grpc::serve as serve_frames;

use crate::load::{Publisher, clock::Latencies};

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum System {
    Atlas,
    NatsDurable,
    NatsRelaxed,
    RedisAlways,
    RedisEverysec,
    /// TimescaleDB without ATLAS, on the same tables: the limit of storing and reading.
    Database,
    /// Bytes that lie framed in memory, without a log behind them: the limit of delivering.
    Grpc,
}

impl System {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Atlas => "ATLAS",
            Self::NatsDurable => "NATS durable",
            Self::NatsRelaxed => "NATS relaxed",
            Self::RedisAlways => "Redis always",
            Self::RedisEverysec => "Redis everysec",
            Self::Database => "limit: database",
            Self::Grpc => "limit: gRPC",
        }
    }
}

impl System {
    /// Whether it gives every event a number, one after the other over all publishers.
    pub(crate) fn numbers(self) -> bool {
        !matches!(self, Self::RedisAlways | Self::RedisEverysec)
    }
}

/// Where peers are found. Those that are not given are not measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Peers {
    /// The program of NATS; without it, NATS is not measured
    #[arg(long, env = "NATS_SERVER", value_name = "PATH")]
    pub(crate) nats_server: Option<PathBuf>,
    /// The program of Redis; without it, Redis is not measured
    #[arg(long, env = "REDIS_SERVER", value_name = "PATH")]
    pub(crate) redis_server: Option<PathBuf>,
    /// Where peers keep their data while they are measured (default: the folder for temporary
    /// files). On the disk that the database is on, or durable means something else for them
    #[arg(long, env = "ATLAS_BENCH_DATA", value_name = "FOLDER")]
    pub(crate) peer_data: Option<PathBuf>,
}

impl Peers {
    /// ATLAS and the limits alone.
    pub(crate) fn none() -> Self {
        Self {
            nats_server: None,
            redis_server: None,
            peer_data: None,
        }
    }

    /// Whether this system can be measured here.
    pub(crate) fn has(&self, system: System) -> bool {
        match system {
            System::Atlas | System::Database | System::Grpc => true,
            System::NatsDurable | System::NatsRelaxed => self.nats_server.is_some(),
            System::RedisAlways | System::RedisEverysec => self.redis_server.is_some(),
        }
    }

    /// The versions of those that are there, one line each.
    pub(crate) async fn versions(&self) -> Result<Vec<String>> {
        let mut versions = Vec::new();
        if let Some(program) = &self.nats_server {
            let version = process::version(program).await?;
            versions.push(format!("{version}; durable: {}", nats::DURABLE));
        }
        if let Some(program) = &self.redis_server {
            let version = process::version(program).await?;
            versions.push(format!(
                "{version}; appendonly yes, appendfsync always or everysec"
            ));
        }
        Ok(versions)
    }
}

/// A server with an empty log, in processes of its own.
pub(crate) trait Running: Send {
    /// Its process; 0 where it has none of its own.
    fn pid(&self) -> u32;

    /// A publisher on a connection of its own.
    fn publisher(&self, window: usize) -> BoxFuture<'_, Result<Box<dyn Publisher>>>;

    /// A subscriber on a connection of its own, from the beginning of the log.
    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>>>;

    /// Makes it forget what it holds in memory of the log, where that is possible.
    fn forget(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Checks that it holds that many events, and stops it.
    fn close(self: Box<Self>, events: u64) -> BoxFuture<'static, Result<()>>;
}

/// A reader of all events of one publisher, each of which it proves to come once, and of ATLAS in
/// order.
pub(crate) trait Subscriber: Send {
    /// Reads up to an event, counted from 1; latencies count from behind `warm_up`.
    fn read_to(&mut self, last: u64, warm_up: u64) -> BoxFuture<'_, Result<Latencies>>;

    /// Reads up to an event, counted from 1, without looking at the clock.
    fn skip_to(&mut self, last: u64) -> BoxFuture<'_, Result<()>>;
}

/// Starts a system. `events` is how many the log will get at the most, where that must be known.
pub(crate) async fn start(
    system: System,
    database_url: &str,
    peers: &Peers,
    events: u64,
) -> Result<Box<dyn Running>> {
    let folder = || process::Folder::new(peers.peer_data.as_deref());
    Ok(match (system, &peers.nats_server, &peers.redis_server) {
        (System::Atlas, ..) => Box::new(atlas::Atlas::start(database_url).await?),
        (System::Database, ..) => Box::new(database::Bare::start(database_url).await?),
        (System::Grpc, ..) => Box::new(grpc::Frames::start(events).await?),
        (System::NatsDurable, Some(program), _) => {
            Box::new(nats::Nats::start(program, folder()?, true).await?)
        }
        (System::NatsRelaxed, Some(program), _) => {
            Box::new(nats::Nats::start(program, folder()?, false).await?)
        }
        (System::RedisAlways, _, Some(program)) => {
            Box::new(redis::Redis::start(program, folder()?, "always").await?)
        }
        (System::RedisEverysec, _, Some(program)) => {
            Box::new(redis::Redis::start(program, folder()?, "everysec").await?)
        }
        _ => bail!("{} is not installed", system.title()),
    })
}
