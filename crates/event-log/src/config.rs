use std::time::Duration;

use atlas_events::Clock;

use crate::OnHistoryChange;

/// How a log works.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Events are kept at least this long after they occurred, and at most this long after they
    /// were stored. `None` keeps all.
    pub retention: Option<Duration>,
    /// How often retention looks for what may go.
    pub retention_interval: Duration,
    /// Chunks are compressed once all of their events are older than this, where TimescaleDB has
    /// compression. Late events are stored much more slowly into compressed chunks. `None`: never.
    pub compress_after: Option<Duration>,
    /// At most this many bytes of the newest events are held in memory for readers.
    pub ring_bytes_max: usize,
    /// How often the database is polled for events whose notification was lost.
    pub poll_interval: Duration,
    /// Whoever appends is answered within this time: stored, certainly not stored, or unknown.
    pub append_timeout: Duration,
    /// At most this many events may wait to be stored; who brings more waits for room.
    pub queue_events_max: usize,
    /// At most this many bytes of memory may be held by what waits to be stored, and as many again by
    /// calls that wait for room. Each open publish stream may hold one batch besides.
    pub queue_bytes_max: usize,
    /// Whether payloads of types that are not registered are stored, without a look at them.
    pub keep_unregistered_types: bool,
    /// What to do once the database went back to an earlier state.
    pub on_history_change: OnHistoryChange,
    /// Without contact to the database for this long, streams end.
    pub contact_age_max: Duration,
    /// The present.
    pub clock: Clock,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            retention: Some(Duration::from_secs(730 * 24 * 3600)),
            retention_interval: Duration::from_secs(3600),
            compress_after: Some(Duration::from_secs(90 * 24 * 3600)),
            ring_bytes_max: 64 * 1024 * 1024,
            poll_interval: Duration::from_secs(1),
            append_timeout: Duration::from_secs(8),
            queue_events_max: 50_000,
            queue_bytes_max: 128 * 1024 * 1024,
            keep_unregistered_types: false,
            on_history_change: OnHistoryChange::default(),
            contact_age_max: Duration::from_secs(10),
            clock: Clock::system(),
        }
    }
}
