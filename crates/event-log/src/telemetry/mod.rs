//! The metrics of a log. Each has the label `log`, which is the schema that holds it.
//!
//! Nothing here is recorded for each event: what is counted is counted for a group or a page.

mod describe;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

pub use describe::describe_metrics;

use crate::{LogError, Receipt, database, storage::Usage, write::rows::proxy_socket::CopyPath};

/// A question to the database that readers wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    /// Where the log stands.
    Head,
    /// A page of a reader that is behind the ring.
    Page,
    /// A page of a read by time.
    Range,
    /// The position of a time.
    Seek,
    /// An event by its id.
    Find,
}

impl Query {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Head, "head"),
        (Self::Page, "page"),
        (Self::Range, "range"),
        (Self::Seek, "seek"),
        (Self::Find, "find"),
    ];
}

/// A database that has not answered a reader by then counts as out of contact.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a group was not stored, as a label.
const FAILURES: [&str; 7] = [
    "overloaded",
    "preceding",
    "too_old",
    "unknown",
    "closed",
    "unverified",
    "database",
];

/// The metrics of one log; made once, so that all are there, with 0, from the start.
#[derive(Debug)]
pub(crate) struct LogMetrics {
    pub(crate) append_seconds: Histogram,
    pub(crate) commit_seconds: Histogram,
    pub(crate) group_events: Histogram,
    appended: Counter,
    duplicates: Counter,
    failures: [Counter; FAILURES.len()],
    queries: [Histogram; Query::ALL.len()],
    pub(crate) ring_reads: Counter,
    pub(crate) database_reads: Counter,
    pub(crate) undeliverable: Counter,
    readers: Gauge,
    readers_behind: Gauge,
    copy_paths: [Gauge; CopyPath::ALL.len()],
    pub(crate) queue_events: Gauge,
    pub(crate) queue_bytes: Gauge,
    pub(crate) ring_events: Gauge,
    pub(crate) ring_bytes: Gauge,
    pub(crate) pool_used: Gauge,
    pub(crate) pool_idle: Gauge,
    pub(crate) pool_max: Gauge,
    pub(crate) tail_position: Gauge,
    pub(crate) database_up: Gauge,
    pub(crate) history_intact: Gauge,
    pub(crate) durable: Gauge,
    latest_event: Gauge,
    storage: StorageMetrics,
    trims: [Counter; 2],
    dropped_chunks: Counter,
    trimmed_at: Gauge,
}

#[derive(Debug)]
struct StorageMetrics {
    log_bytes: Gauge,
    database_bytes: Gauge,
    chunks: Gauge,
    compressed_chunks: Gauge,
    compression_up: Gauge,
    jobs: Gauge,
    job_failures: Gauge,
    job_succeeded_at: Gauge,
    oldest_snapshot: Gauge,
}

impl LogMetrics {
    pub(crate) fn new(log: &str) -> Arc<Self> {
        let counter = |name: &'static str| counter!(name, "log" => log.to_owned());
        let gauge = |name: &'static str| gauge!(name, "log" => log.to_owned());
        let connections = |state: &'static str| gauge!("event_log_pool_connections", "log" => log.to_owned(), "state" => state);
        let histogram = |name: &'static str| histogram!(name, "log" => log.to_owned());
        Arc::new(Self {
            append_seconds: histogram("event_log_append_seconds"),
            commit_seconds: histogram("event_log_commit_seconds"),
            group_events: histogram("event_log_group_events"),
            appended: counter("event_log_appended_events_total"),
            duplicates: counter("event_log_duplicate_events_total"),
            failures: FAILURES.map(|reason| {
                counter!("event_log_append_failures_total", "log" => log.to_owned(), "reason" => reason)
            }),
            queries: Query::ALL.map(|(_, query)| {
                histogram!("event_log_query_seconds", "log" => log.to_owned(), "query" => query)
            }),
            ring_reads: counter("event_log_ring_reads_total"),
            database_reads: counter("event_log_database_reads_total"),
            undeliverable: counter("event_log_undeliverable_events_total"),
            readers: gauge("event_log_readers"),
            readers_behind: gauge("event_log_readers_behind"),
            copy_paths: CopyPath::ALL.map(|(_, kind)| {
                gauge!("event_log_copy_path", "log" => log.to_owned(), "kind" => kind)
            }),
            queue_events: gauge("event_log_queue_events"),
            queue_bytes: gauge("event_log_queue_bytes"),
            ring_events: gauge("event_log_ring_events"),
            ring_bytes: gauge("event_log_ring_bytes"),
            pool_used: connections("used"),
            pool_idle: connections("idle"),
            pool_max: gauge("event_log_pool_connections_max"),
            tail_position: gauge("event_log_tail_position"),
            database_up: gauge("event_log_database_up"),
            history_intact: gauge("event_log_history_intact"),
            durable: gauge("event_log_durable"),
            latest_event: gauge("event_log_latest_event_timestamp_seconds"),
            storage: StorageMetrics {
                log_bytes: gauge("event_log_size_bytes"),
                database_bytes: gauge("event_log_database_size_bytes"),
                chunks: gauge("event_log_chunks"),
                compressed_chunks: gauge("event_log_compressed_chunks"),
                compression_up: gauge("event_log_compression_up"),
                jobs: gauge("event_log_compression_jobs"),
                job_failures: gauge("event_log_compression_failures"),
                job_succeeded_at: gauge("event_log_compression_last_success_timestamp_seconds"),
                oldest_snapshot: gauge("event_log_oldest_snapshot_seconds"),
            },
            trims: ["succeeded", "failed"].map(|outcome| {
                counter!("event_log_retention_runs_total", "log" => log.to_owned(), "outcome" => outcome)
            }),
            dropped_chunks: counter("event_log_retention_dropped_chunks_total"),
            trimmed_at: gauge("event_log_retention_last_success_timestamp_seconds"),
        })
    }

    /// Which way large groups are stored from now on.
    pub(crate) fn copies_by(&self, path: CopyPath) {
        for ((other, _), gauge) in CopyPath::ALL.iter().zip(&self.copy_paths) {
            gauge.set(if *other == path { 1.0 } else { 0.0 });
        }
    }

    /// A transaction that appended was committed.
    pub(crate) fn committed(&self, receipts: &[Receipt]) {
        let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count();
        self.appended
            .increment((receipts.len() - duplicates) as u64);
        self.duplicates.increment(duplicates as u64);
    }

    /// A group, or a batch before it came into one, was not stored, or perhaps not.
    pub(crate) fn not_stored(&self, error: &LogError) {
        let reason = match error {
            LogError::Overloaded => "overloaded",
            LogError::PrecedingNotStored => "preceding",
            LogError::TooOld { .. } => "too_old",
            LogError::OutcomeUnknown(_) => "unknown",
            LogError::Closed => "closed",
            LogError::Unverified(_) => "unverified",
            _ => "database",
        };
        let mut failures = FAILURES.iter().zip(&self.failures);
        if let Some((_, failures)) = failures.find(|(label, _)| **label == reason) {
            failures.increment(1);
        }
    }

    /// Awaits a question to the database, but not for ever, and how long it took.
    pub(crate) async fn timed<T>(
        &self,
        query: Query,
        asking: impl Future<Output = Result<T, LogError>>,
    ) -> Result<T, LogError> {
        let started = Instant::now();
        let answer = database::within(READ_TIMEOUT, asking).await;
        let mut queries = Query::ALL.iter().zip(&self.queries);
        if let Some((_, seconds)) = queries.find(|((label, _), _)| *label == query) {
            seconds.record(started.elapsed());
        }
        answer
    }

    /// The database answered where the head is, or did not.
    pub(crate) fn saw_head(&self, head: Option<&crate::Head>) {
        self.database_up.set(if head.is_some() { 1.0 } else { 0.0 });
        if let Some(recorded_at) = head.and_then(|head| head.latest_recorded_at) {
            self.latest_event.set(seconds(recorded_at));
        }
    }

    pub(crate) fn saw_storage(&self, found: &Usage) {
        let storage = &self.storage;
        storage.log_bytes.set(found.log_bytes as f64);
        storage
            .oldest_snapshot
            .set(found.oldest_snapshot_seconds as f64);
        storage.database_bytes.set(found.database_bytes as f64);
        storage.chunks.set(found.chunks as f64);
        storage
            .compressed_chunks
            .set(found.compressed_chunks as f64);
        storage.jobs.set(found.compression_jobs as f64);
        storage.job_failures.set(found.compression_failures as f64);
        if let Some(time) = found.compressed_at {
            storage.job_succeeded_at.set(seconds(time));
        }
    }

    /// Compression was set up, if there is any and it is wanted; or could not be.
    pub(crate) fn compression_set_up(&self, succeeded: bool) {
        let up = if succeeded { 1.0 } else { 0.0 };
        self.storage.compression_up.set(up);
    }

    /// Retention ran, and dropped this many chunks; `None` if it failed.
    pub(crate) fn trimmed(&self, chunks: Option<usize>, now: chrono::DateTime<chrono::Utc>) {
        let [succeeded, failed] = &self.trims;
        match chunks {
            Some(chunks) => {
                succeeded.increment(1);
                self.dropped_chunks.increment(chunks as u64);
                self.trimmed_at.set(seconds(now));
            }
            None => failed.increment(1),
        }
    }
}

fn seconds(time: chrono::DateTime<chrono::Utc>) -> f64 {
    time.timestamp_micros() as f64 / 1e6
}

/// A reader among those that are counted, and whether it is behind the ring.
#[derive(Debug)]
pub(crate) struct CountedReader {
    metrics: Arc<LogMetrics>,
    behind: bool,
}

impl CountedReader {
    pub(crate) fn new(metrics: Arc<LogMetrics>) -> Self {
        metrics.readers.increment(1);
        Self {
            metrics,
            behind: false,
        }
    }

    pub(crate) fn is_behind(&mut self, behind: bool) {
        if behind == self.behind {
            return;
        }
        self.behind = behind;
        match behind {
            true => self.metrics.readers_behind.increment(1),
            false => self.metrics.readers_behind.decrement(1),
        }
    }
}

impl Drop for CountedReader {
    fn drop(&mut self) {
        self.is_behind(false);
        self.metrics.readers.decrement(1);
    }
}
