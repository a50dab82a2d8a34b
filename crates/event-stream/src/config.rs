use std::{sync::Arc, time::Duration};

use access::{AuditLog, ByteBudget, Gate, PlaceLimits, Shares};
use atlas_events::Clock;

const MEBIBYTE: u64 = 1024 * 1024;

/// How the gRPC services of a log work.
#[derive(Debug, Clone)]
pub struct StreamConfig {
    /// First part of the names of metrics, such as `fredcollector`.
    pub metrics_prefix: String,
    /// At most this many subscriptions and range reads at once; more are refused.
    pub subscriptions_max: usize,
    /// At most this many requests of one publish stream may await their acknowledgement; the
    /// stream is not read on before one has it.
    pub unacknowledged_max: usize,
    /// How long a call of `Publish` waits for room in the queue of the log before it is refused.
    pub publish_wait_max: Duration,
    /// The same for a request of a publish stream. Meanwhile the stream is not read, so that its
    /// client is slowed down.
    pub publish_stream_wait_max: Duration,
    /// Subscriptions end after about this long, with the position to resume after, so that clients
    /// spread over servers anew. A tenth more or less, so that they do not come back all at once.
    /// `None`: never.
    pub stream_age_max: Option<Duration>,
    /// How often connections are asked whether they live, and how long they may take to answer.
    pub keepalive: (Duration, Duration),
    /// How long a client may take until HTTP/2 has begun on a connection.
    pub preface_timeout: Duration,
    /// How long a client may take over a message: a call over all that it sends, a stream of
    /// messages over each.
    pub message_timeout: Duration,
    /// What the messages that are being received may hold in memory, of each caller and together.
    pub request_bytes: Shares,
    /// What streams may hold in memory that their readers do not take, for each of these and together.
    pub answers: Shares,
    /// At most this many bytes of `request_bytes` are for one connection.
    pub connection_bytes_max: u64,
    /// How many streams may be open for which no token is needed: health watches and reflection. They
    /// last as long as subscriptions, at most an hour where these last for ever; one of reflection
    /// on which nothing is asked for `message_timeout` ends before.
    pub open_streams: PlaceLimits,
    /// How clients are authenticated.
    pub gate: Gate,
    /// Where administrative actions are recorded, if anywhere.
    pub audit: Option<Arc<dyn AuditLog>>,
    /// Whether clients can ask what is served and what its messages are.
    pub reflection: bool,
    /// The present.
    pub clock: Clock,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            metrics_prefix: "atlas".to_owned(),
            subscriptions_max: 4_096,
            unacknowledged_max: 1_024,
            publish_wait_max: event_log::APPEND_WAIT_MAX,
            publish_stream_wait_max: Duration::from_secs(10),
            stream_age_max: Some(Duration::from_secs(3_600)),
            keepalive: (Duration::from_secs(30), Duration::from_secs(20)),
            preface_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(30),
            request_bytes: Shares::new(ByteBudget::new("server", 256 * MEBIBYTE), 128 * MEBIBYTE),
            answers: Shares::new(ByteBudget::of_answers(256 * MEBIBYTE), 64 * MEBIBYTE),
            connection_bytes_max: 64 * MEBIBYTE,
            open_streams: PlaceLimits {
                places_max: 1_024,
                per_address_max: 64,
            },
            gate: Gate::Open,
            audit: None,
            reflection: true,
            clock: Clock::system(),
        }
    }
}
