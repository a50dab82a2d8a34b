//! The settings that all services have, with their bounds.

pub(crate) mod common;
mod connection_string;
pub(crate) mod consumption;
pub(crate) mod database;
pub(crate) mod traces;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use access::PlaceLimits;
use documented::{Documented, DocumentedFields};
use event_log::OnHistoryChange;

use crate::config::{Reader, TracesConfig};

const DAYS_MAX: u64 = 365 * 1_000;
const MEBIBYTE: u64 = 1024 * 1024;
const HOUR_SECONDS: u64 = 3_600;

/// `[rest]`: REST, health and metrics.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct RestConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// A request that takes longer is answered 504.
    pub request_timeout: Duration,
    /// At most this many connections; more are closed at once.
    pub connections_max: usize,
    /// At most this many connections from one address; of IPv6, from one network of 64 bits.
    pub connections_per_address_max: usize,
    /// A connection on which the head of a request is not complete after this time is closed, also
    /// one that only waits for its next request.
    pub head_timeout: Duration,
    /// The time for a request's body, and for reading the answer. A body that is not complete by then
    /// is answered 408. The connection of a client that has not read its answer by then, or the next
    /// MiB of a larger one, is closed.
    pub body_timeout: Duration,
}

/// `[grpc]`: event streams and publishing.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct GrpcConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// At most this many open subscriptions; more are refused.
    pub subscriptions_max: usize,
    /// A subscription ends after this many seconds, a tenth more or less, with the position to
    /// resume after, so that clients spread over servers anew; 0 (`None`) never.
    pub stream_age_max: Option<Duration>,
    /// Whether clients can ask what is served and what its messages are.
    pub reflection: bool,
    /// At most this many connections; more are closed at once.
    pub connections_max: usize,
    /// At most this many connections from one address; of IPv6, from one network of 64 bits.
    pub connections_per_address_max: usize,
    /// At most this many bytes of requests that are being received on one connection, and of what is
    /// built from them; what goes over it is refused with `RESOURCE_EXHAUSTED`.
    pub connection_bytes_max: u64,
    /// A request message that is not complete after this time is refused with `DEADLINE_EXCEEDED`; so
    /// is a stream of reflection on which nothing is asked for so long.
    pub message_timeout: Duration,
    /// At most this many streams for which no token is needed, health watches and reflection; more are
    /// refused with `RESOURCE_EXHAUSTED`.
    pub open_streams_max: usize,
    /// At most this many of them from one address; of IPv6, from one network of 64 bits.
    pub open_streams_per_address_max: usize,
}

/// `[events]`: the event log of the service.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct EventsConfig {
    /// Events are kept this many days; 0 (`None`) keeps all.
    pub retention_days: Option<u64>,
    /// Chunks whose events are all older than this many days are compressed, where TimescaleDB can;
    /// 0 (`None`) never. Events that are published so late are stored much more slowly.
    pub compress_after_days: Option<u64>,
    /// At most this many bytes of the newest events are held in memory for readers.
    pub ring_bytes_max: usize,
    /// At most this many events may wait to be stored; who brings more waits for room, and is
    /// refused after some seconds.
    pub queue_events_max: usize,
    /// What becomes of a published event whose type is not registered (`typed` in the contract): "refuse"
    /// it, or "keep" its bytes without a look at them.
    pub unregistered_types: bool,
    /// How often the database is polled for events whose notification was lost.
    pub poll_interval: Duration,
    /// How long readers are served without an answer from the database. After that the end of the log
    /// is unknown, and streams end with `UNAVAILABLE`.
    pub contact_age_max: Duration,
    /// What happens when the database has lost events, for example by a restore to an earlier moment or
    /// a failover to a replica that lagged. `halt` stores and delivers nothing until an operator runs
    /// `new-log-id`, which gives the log a new identity. `new_log_id` does that at once.
    pub on_history_change: OnHistoryChange,
}

/// `[shutdown]`: how the process ends.
#[derive(Debug, Clone, Documented, DocumentedFields)]
pub struct ShutdownConfig {
    /// Requests and streams that have not ended after this time are cut off.
    pub drain: Duration,
}

/// `[telemetry]`: what the process reports about itself.
#[derive(Debug, Clone, Documented, DocumentedFields)]
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

impl RestConfig {
    /// Reads the section; `port` of the loopback address is the default.
    pub fn read(reader: &mut Reader, port: u16) -> Self {
        reader.section::<Self>("rest");
        Self {
            address: reader.address("rest.address", local(port)),
            request_timeout: reader.seconds("rest.request_timeout_seconds", 30, 1..=HOUR_SECONDS),
            connections_max: places(reader, "rest.connections_max", 2_048),
            connections_per_address_max: places(reader, "rest.connections_per_address_max", 512),
            head_timeout: reader.seconds("rest.head_timeout_seconds", 30, 1..=HOUR_SECONDS),
            body_timeout: reader.seconds("rest.body_timeout_seconds", 30, 1..=HOUR_SECONDS),
        }
    }
}

impl GrpcConfig {
    /// Reads the section; `port` of the loopback address is the default.
    pub fn read(reader: &mut Reader, port: u16) -> Self {
        reader.section::<Self>("grpc");
        let mut address = reader.address("grpc.address", local(port));
        let port = reader.number_if_given("grpc.port", 0..=65_535);
        reader.describe("grpc.port", "In place of the port of `address`.");
        let port = port.unwrap_or(u64::from(address.port()));
        address.set_port(u16::try_from(port).unwrap_or_default());
        let subscriptions_max = reader.number("grpc.subscriptions_max", 4_096, 1..=1_000_000);
        let age = reader.seconds(
            "grpc.stream_age_max_seconds",
            3_600,
            0..=30 * 24 * HOUR_SECONDS,
        );
        Self {
            address,
            subscriptions_max: size(subscriptions_max),
            stream_age_max: (!age.is_zero()).then_some(age),
            reflection: reader.switch("grpc.reflection", true),
            connections_max: places(reader, "grpc.connections_max", 2_048),
            connections_per_address_max: places(reader, "grpc.connections_per_address_max", 512),
            connection_bytes_max: reader.number(
                "grpc.connection_bytes_max",
                64 * MEBIBYTE,
                8 * MEBIBYTE..=64 * 1024 * MEBIBYTE,
            ),
            message_timeout: reader.seconds("grpc.message_timeout_seconds", 30, 1..=HOUR_SECONDS),
            open_streams_max: places(reader, "grpc.open_streams_max", 1_024),
            open_streams_per_address_max: places(reader, "grpc.open_streams_per_address_max", 64),
        }
    }
}

impl GrpcConfig {
    /// How many streams there may be for which no token is needed.
    pub fn open_streams(&self) -> PlaceLimits {
        PlaceLimits {
            places_max: self.open_streams_max,
            per_address_max: self.open_streams_per_address_max,
        }
    }
}

impl EventsConfig {
    /// Reads the section; by default events are kept for `retention_days`, 0 for ever.
    pub fn read(reader: &mut Reader, retention_days: u64) -> Self {
        reader.section::<Self>("events");
        let days = reader.number("events.retention_days", retention_days, 0..=DAYS_MAX);
        let compressed = reader.number("events.compress_after_days", 90, 0..=DAYS_MAX);
        let bytes = reader.number(
            "events.ring_bytes_max",
            64 * MEBIBYTE,
            MEBIBYTE..=64 * 1024 * MEBIBYTE,
        );
        let queued = reader.number("events.queue_events_max", 50_000, 1_000..=10_000_000);
        let key = "events.poll_interval_milliseconds";
        let rules = [
            ("halt", OnHistoryChange::Halt),
            ("new_log_id", OnHistoryChange::NewLogId),
        ];
        let unregistered = [("refuse", false), ("keep", true)];
        Self {
            retention_days: (days > 0).then_some(days),
            compress_after_days: (compressed > 0).then_some(compressed),
            ring_bytes_max: size(bytes),
            queue_events_max: size(queued),
            unregistered_types: reader.word("events.unregistered_types", &unregistered, 0),
            poll_interval: reader.milliseconds(key, 1_000, 10..=60_000),
            contact_age_max: reader.seconds("events.contact_age_max_seconds", 10, 2..=3_600),
            on_history_change: reader.word("events.on_history_change", &rules, 0),
        }
    }
}

impl ShutdownConfig {
    /// Reads the section.
    pub fn read(reader: &mut Reader) -> Self {
        reader.section::<Self>("shutdown");
        Self {
            drain: reader.seconds("shutdown.drain_seconds", 10, 0..=HOUR_SECONDS),
        }
    }
}

impl TelemetryConfig {
    /// Reads the section.
    pub fn read(reader: &mut Reader) -> Self {
        reader.section::<Self>("telemetry");
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = reader.word("telemetry.format", &formats, 0);
        let filter = reader.text_or("telemetry.filter", "info");
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

fn places(reader: &mut Reader, key: &'static str, default: u64) -> usize {
    size(reader.number(key, default, 1..=1_000_000))
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
