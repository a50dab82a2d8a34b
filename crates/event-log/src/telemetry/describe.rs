//! What the metrics of a log mean.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Describes the metrics of logs to the recorder of the process.
pub fn describe_metrics() {
    describe_appending();
    describe_reading();
    describe_storage();
}

fn describe_appending() {
    describe_histogram!(
        "event_log_append_seconds",
        Unit::Seconds,
        "From the start of a group commit until it is durable"
    );
    describe_histogram!(
        "event_log_commit_seconds",
        Unit::Seconds,
        "How long the commit of a group took (the part that waits for the disk); for small \
         groups, the single statement"
    );
    describe_histogram!(
        "event_log_group_events",
        Unit::Count,
        "Events stored by one transaction of the appender"
    );
    describe_counter!(
        "event_log_appended_events_total",
        "Events stored by this process, counted after their commit"
    );
    describe_counter!(
        "event_log_duplicate_events_total",
        "Duplicates: events published again that the log had already"
    );
    describe_counter!(
        "event_log_undeliverable_events_total",
        "Stored events that clients could not decode, read from the database and replaced by an \
         event that says so"
    );
    describe_counter!(
        "event_log_append_failures_total",
        "Groups that were not stored, by reason; with the reason unknown they may have been"
    );
    describe_gauge!(
        "event_log_copy_path",
        "Which connections large groups are stored on, 1 for the one that is used: TCP behind an abstract_socket or a socket_file, the database_socket, or none, which is slower"
    );
    describe_gauge!(
        "event_log_history_intact",
        "Whether the log has the history that this process knows: 1 yes, 0 once it went back or \
         was replaced"
    );
    describe_gauge!(
        "event_log_durable",
        "Whether the server keeps what it commits: 0 if fsync or full_page_writes is off"
    );
    describe_gauge!(
        "event_log_queue_events",
        "Events that wait to be taken into a group"
    );
    describe_gauge!(
        "event_log_queue_bytes",
        Unit::Bytes,
        "Memory of the events that wait to be taken into a group"
    );
}

fn describe_reading() {
    describe_histogram!(
        "event_log_query_seconds",
        Unit::Seconds,
        "How long the database took to answer a reader, by what was asked"
    );
    describe_counter!(
        "event_log_ring_reads_total",
        "Reads of subscriptions that memory answered"
    );
    describe_counter!(
        "event_log_database_reads_total",
        "Reads of subscriptions that the database answered, since they are behind"
    );
    describe_gauge!("event_log_readers", "Readers that follow the log");
    describe_gauge!(
        "event_log_readers_behind",
        "Readers that are behind the ring, so that the database serves them"
    );
    describe_gauge!("event_log_ring_events", "Events in memory for readers");
    describe_gauge!(
        "event_log_ring_bytes",
        Unit::Bytes,
        "Memory that the events kept for readers take"
    );
    describe_gauge!(
        "event_log_tail_position",
        "The last position that has reached this process"
    );
    describe_gauge!(
        "event_log_latest_event_timestamp_seconds",
        Unit::Seconds,
        "When the newest event was stored, in Unix time"
    );
    describe_gauge!(
        "event_log_database_up",
        "Whether the database answered when it was last asked for the head of the log: 1 yes, 0 no"
    );
}

fn describe_storage() {
    describe_gauge!(
        "event_log_pool_connections",
        "Connections to the database that the service has, by state: used or idle"
    );
    describe_gauge!(
        "event_log_pool_connections_max",
        "How many connections to the database the service may have"
    );
    describe_gauge!(
        "event_log_size_bytes",
        Unit::Bytes,
        "Disk that the events and their indexes take"
    );
    describe_gauge!(
        "event_log_oldest_snapshot_seconds",
        Unit::Seconds,
        "Age of the oldest transaction whose snapshot keeps the database from removing dead rows"
    );
    describe_gauge!(
        "event_log_database_size_bytes",
        Unit::Bytes,
        "Disk that the whole database takes"
    );
    describe_gauge!("event_log_chunks", "Chunks of the events");
    describe_gauge!("event_log_compressed_chunks", "Chunks that are compressed");
    describe_gauge!(
        "event_log_compression_up",
        "Whether compression of old chunks is as the settings want it and the edition allows: 1 yes, 0 it could not be set up"
    );
    describe_gauge!(
        "event_log_compression_jobs",
        "Jobs of the database that compress chunks; none where its edition has no compression"
    );
    describe_gauge!(
        "event_log_compression_failures",
        "Runs of the compression job that failed, ever"
    );
    describe_gauge!(
        "event_log_compression_last_success_timestamp_seconds",
        Unit::Seconds,
        "When the compression job last succeeded, in Unix time; 0 if never"
    );
    describe_counter!(
        "event_log_retention_runs_total",
        "Runs of retention, by outcome"
    );
    describe_counter!(
        "event_log_retention_dropped_chunks_total",
        "Chunks that retention dropped"
    );
    describe_gauge!(
        "event_log_retention_last_success_timestamp_seconds",
        Unit::Seconds,
        "When retention last ran without failing, in Unix time; 0 if never in this process"
    );
}
