use std::time::Duration;

use atlas_events::Clock;

use crate::Backoff;

/// How a consumer works.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Name of the service, as its rows in `checkpoint` and its subscriptions carry it; 1 to 100
    /// characters.
    pub service: String,
    /// First part of the names of metrics, such as `thresholdengine`.
    pub metrics_prefix: String,
    /// At most this many events in one transaction; at least 1.
    pub batch_events_max: usize,
    /// At most this many bytes of encoded events in one transaction, unless one event alone is
    /// larger.
    pub batch_bytes_max: usize,
    /// How long a batch that is not full may wait for more. Zero takes what is there: under load
    /// events gather by themselves while the batch before is committed.
    pub batch_wait: Duration,
    /// How often a silent source says that it lives; 100 ms to 1 hour.
    pub heartbeat_interval: Duration,
    /// How often the database is asked for moved checkpoints and for events to be retried.
    pub poll_interval: Duration,
    /// A database that has not answered for this long is taken to be out of reach: a statement is given
    /// up, and a transaction that the server does not know any more is made again. At least 1 second.
    pub database_answer_max: Duration,
    /// Pauses before a lost source is asked again. Their bound is also how late a source that came
    /// back is noticed.
    pub reconnect_backoff: Backoff,
    /// Pauses before a batch that failed, or the database, is tried again.
    pub retry_backoff: Backoff,
    /// So many events in a row that cannot be processed are no accident of single events: the consumer stops instead of
    /// parking them.
    pub parked_in_a_row_max: u64,
    /// Ids of processed events are kept for at least this long, and as long as their log still
    /// holds the events: a replay cannot reach an event that was forgotten.
    pub processed_keep: Duration,
    /// How often processed ids are pruned.
    pub prune_interval: Duration,
    /// At start, go back to the events of this many months ago (`EVENTCONSUMER__BACKFILLMONTHS`).
    pub backfill_months: Option<u32>,
    /// The present.
    pub clock: Clock,
}

impl ConsumerConfig {
    /// The configuration of a service with default limits. Metrics are named after it in lower
    /// case.
    pub fn new(service: impl Into<String>) -> Self {
        let service = service.into();
        Self {
            metrics_prefix: service.to_lowercase(),
            service,
            batch_events_max: 2_000,
            batch_bytes_max: 4 * 1024 * 1024,
            batch_wait: Duration::ZERO,
            heartbeat_interval: Duration::from_secs(1),
            poll_interval: Duration::from_secs(1),
            database_answer_max: Duration::from_secs(10),
            reconnect_backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(1)),
            retry_backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(5)),
            parked_in_a_row_max: 100,
            processed_keep: Duration::from_secs(30 * 24 * 3600),
            prune_interval: Duration::from_secs(3600),
            backfill_months: None,
            clock: Clock::system(),
        }
    }
}
