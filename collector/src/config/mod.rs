//! The collector's configuration: one typed struct, read once at start.
//!
//! A value comes from a TOML file, is overridden by the environment, and that by flags. Everything
//! that is wrong is told at once, with its key and where it came from.

mod connection_string;
mod flags;
mod layers;
mod load;
mod reader;
mod seed;
mod show;

use std::{net::SocketAddr, time::Duration};

use secrecy::SecretString;

pub use flags::Flags;
pub use load::{ConfigError, load};
pub use reader::Problem;
pub use seed::{Backfill, SeriesSeed};

/// How a collector works. `Debug` and `Display` show no secrets; `Display` is the TOML file that
/// makes the same configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[database]`: where everything is kept.
    pub database: DatabaseConfig,
    /// `[rest]`: REST, health and metrics.
    pub rest: RestConfig,
    /// `[grpc]`: event streams and publishing.
    pub grpc: GrpcConfig,
    /// `[events]`: the event log.
    pub events: EventsConfig,
    /// `[fred]`: collection from FRED.
    pub fred: FredConfig,
    /// `[shutdown]`.
    pub shutdown: ShutdownConfig,
    /// `[telemetry]`: what the process tells about itself.
    pub telemetry: TelemetryConfig,
}

/// Where everything is kept.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgres://…`; holds the password.
    pub url: SecretString,
    /// The schema that holds the log and the collector's tables.
    pub schema: String,
    /// At most this many pooled connections; a few more are held outside the pool.
    pub connections_max: u32,
}

/// REST, health and metrics.
#[derive(Debug, Clone)]
pub struct RestConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// A request that takes longer is answered 503.
    pub request_timeout: Duration,
}

/// Event streams and publishing.
#[derive(Debug, Clone)]
pub struct GrpcConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// At most this many open subscriptions; more are refused.
    pub subscriptions_max: usize,
}

/// The event log.
#[derive(Debug, Clone)]
pub struct EventsConfig {
    /// Events are kept this many days; `None` keeps all.
    pub retention_days: Option<u64>,
    /// At most this many bytes of the newest events are held in memory for readers.
    pub ring_bytes_max: usize,
    /// At most this many events may wait to be stored; more are refused.
    pub queue_events_max: usize,
    /// How often the database is asked for what a lost notification did not tell.
    pub poll_interval: Duration,
}

/// Collection from FRED.
#[derive(Debug, Clone)]
pub struct FredConfig {
    /// Without a key nothing is collected.
    pub api_key: Option<SecretString>,
    /// Where the API is, such as `https://api.stlouisfed.org/fred`.
    pub base_url: String,
    /// Time between the starts of two requests.
    pub request_interval: Duration,
    /// A request that takes longer has failed.
    pub request_timeout: Duration,
    /// A collection is given up after this many requests in vain.
    pub attempts_max: u32,
    /// The series to have in the registry; those that it has already stay as they are.
    pub series: Vec<SeriesSeed>,
}

/// How the process ends.
#[derive(Debug, Clone)]
pub struct ShutdownConfig {
    /// Requests and streams that have not ended after this time are cut off.
    pub drain: Duration,
}

/// What the process tells about itself.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// How log lines look.
    pub format: LogFormat,
    /// Which are written: directives such as `info,event_log=debug`.
    pub filter: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
