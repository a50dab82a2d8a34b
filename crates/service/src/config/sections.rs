//! The settings that all services have, their bounds, and how they are shown.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};

use super::{Reader, TracesConfig, connection_string};

const DAYS_MAX: u64 = 365 * 1_000;
const MEBIBYTE: u64 = 1024 * 1024;
const HOUR_SECONDS: u64 = 3_600;

/// `[database]`: where everything is kept.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `postgres://…`; holds the password.
    pub url: SecretString,
    /// The schema that holds the log and the tables of the service.
    pub schema: String,
    /// At most this many pooled connections; a few more are held outside the pool.
    pub connections_max: u32,
}

/// `[rest]`: REST, health and metrics.
#[derive(Debug, Clone)]
pub struct RestConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// A request that takes longer is answered 504.
    pub request_timeout: Duration,
}

/// `[grpc]`: event streams and publishing.
#[derive(Debug, Clone)]
pub struct GrpcConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// At most this many open subscriptions; more are refused.
    pub subscriptions_max: usize,
}

/// `[events]`: the event log of the service.
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

/// `[shutdown]`: how the process ends.
#[derive(Debug, Clone)]
pub struct ShutdownConfig {
    /// Requests and streams that have not ended after this time are cut off.
    pub drain: Duration,
}

/// `[telemetry]`: what the process tells about itself.
#[derive(Debug, Clone)]
pub struct TelemetryConfig {
    /// How log lines look.
    pub format: LogFormat,
    /// Which are written: directives such as `info,event_log=debug`.
    pub filter: String,
    /// Where traces go.
    pub traces: TracesConfig,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl DatabaseConfig {
    /// Reads the section; `schema` is the default.
    pub fn read(reader: &mut Reader, schema: &str) -> Self {
        let url = match reader.text("database.url") {
            Some(text) => connection_string::to_url(&text).unwrap_or_else(|problem| {
                reader.refuse("database.url", problem);
                String::new()
            }),
            None => {
                reader.refuse(
                    "database.url",
                    "is required: set DATABASE_URL to postgres://user:password@host:5432/database",
                );
                String::new()
            }
        };
        let schema = reader
            .text("database.schema")
            .unwrap_or_else(|| schema.to_owned());
        if let Err(error) = event_log::connect_options("postgres://localhost", &schema) {
            reader.refuse("database.schema", error);
        }
        Self {
            url: SecretString::from(url),
            schema,
            connections_max: small(reader.number("database.connections_max", 16, 4..=1_000)),
        }
    }
}

impl RestConfig {
    /// Reads the section; `port` of the loopback address is the default.
    pub fn read(reader: &mut Reader, port: u16) -> Self {
        Self {
            address: reader.address("rest.address", local(port)),
            request_timeout: reader.seconds("rest.request_timeout_seconds", 30, 1..=HOUR_SECONDS),
        }
    }
}

impl GrpcConfig {
    /// Reads the section; `port` of the loopback address is the default.
    pub fn read(reader: &mut Reader, port: u16) -> Self {
        let mut address = reader.address("grpc.address", local(port));
        let port = reader.number("grpc.port", u64::from(address.port()), 0..=65_535);
        address.set_port(u16::try_from(port).unwrap_or_default());
        let subscriptions_max = reader.number("grpc.subscriptions_max", 4_096, 1..=1_000_000);
        Self {
            address,
            subscriptions_max: size(subscriptions_max),
        }
    }
}

impl EventsConfig {
    /// Reads the section; by default events are kept for `retention_days`, 0 for ever.
    pub fn read(reader: &mut Reader, retention_days: u64) -> Self {
        let days = reader.number("events.retention_days", retention_days, 0..=DAYS_MAX);
        let bytes = reader.number(
            "events.ring_bytes_max",
            64 * MEBIBYTE,
            MEBIBYTE..=64 * 1024 * MEBIBYTE,
        );
        let queued = reader.number("events.queue_events_max", 50_000, 1_000..=10_000_000);
        let key = "events.poll_interval_milliseconds";
        Self {
            retention_days: (days > 0).then_some(days),
            ring_bytes_max: size(bytes),
            queue_events_max: size(queued),
            poll_interval: reader.milliseconds(key, 1_000, 10..=60_000),
        }
    }
}

impl ShutdownConfig {
    /// Reads the section.
    pub fn read(reader: &mut Reader) -> Self {
        Self {
            drain: reader.seconds("shutdown.drain_seconds", 10, 0..=HOUR_SECONDS),
        }
    }
}

impl TelemetryConfig {
    /// Reads the section.
    pub fn read(reader: &mut Reader) -> Self {
        let format = match reader.text("telemetry.format").as_deref() {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                let problem = format!("\"{other}\" is not known; known are text and json");
                reader.refuse("telemetry.format", problem);
                LogFormat::Text
            }
        };
        let filter = reader.text("telemetry.filter");
        let filter = filter.unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
            let problem = format!("\"{filter}\" is no filter: {error}");
            reader.refuse("telemetry.filter", problem);
        }
        Self {
            format,
            filter,
            traces: TracesConfig::read(reader),
        }
    }
}

impl fmt::Display for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = connection_string::masked(self.url.expose_secret());
        writeln!(f, "[database]")?;
        writeln!(f, "url = {url:?}")?;
        writeln!(f, "schema = {:?}", self.schema)?;
        writeln!(f, "connections_max = {}", self.connections_max)
    }
}

impl fmt::Display for RestConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.request_timeout.as_secs();
        writeln!(f, "[rest]\naddress = \"{}\"", self.address)?;
        writeln!(f, "request_timeout_seconds = {seconds}")
    }
}

impl fmt::Display for GrpcConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[grpc]\naddress = \"{}\"", self.address)?;
        writeln!(f, "subscriptions_max = {}", self.subscriptions_max)
    }
}

impl fmt::Display for EventsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retention_days = self.retention_days.unwrap_or(0);
        writeln!(f, "[events]\nretention_days = {retention_days}")?;
        writeln!(f, "ring_bytes_max = {}", self.ring_bytes_max)?;
        writeln!(f, "queue_events_max = {}", self.queue_events_max)?;
        let milliseconds = self.poll_interval.as_millis();
        writeln!(f, "poll_interval_milliseconds = {milliseconds}")
    }
}

impl fmt::Display for ShutdownConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[shutdown]\ndrain_seconds = {}", self.drain.as_secs())
    }
}

impl fmt::Display for TelemetryConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = match self.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        writeln!(f, "[telemetry]\nformat = \"{format}\"")?;
        writeln!(f, "filter = {:?}", self.filter)?;
        write!(f, "{}", self.traces)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// For numbers whose bounds were checked.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// For numbers whose bounds were checked.
pub fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
