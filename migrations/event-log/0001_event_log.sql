-- One event log. Applied in the schema of its owner (first in search_path).

-- Where the log stands. The lock on its only row is the sequencer: positions are given while it is
-- held, by the transaction that stores the events, so they are gapless and in commit order.
create table log_head (
    singleton boolean primary key default true check (singleton),
    log_id uuid not null default gen_random_uuid(),
    first_position bigint not null default 1,
    last_position bigint not null default 0,
    latest_occurred_at timestamptz,
    latest_recorded_at timestamptz,
    -- Bounds of occurred_at in the segment that is not full yet.
    segment_earliest timestamptz,
    segment_latest timestamptz,
    -- Retention has dropped events older than this.
    dropped_before timestamptz
) with (fillfactor = 10);

insert into log_head default values;

-- For every full run of 4,096 positions (segment n holds 4096 n + 1 to 4096 n + 4096): the bounds of
-- occurred_at. Chunks are excluded by time, so these let a page by position touch the chunks that
-- hold it and no others; they also find the position of a time.
create table segments (
    segment bigint primary key,
    earliest timestamptz not null,
    latest timestamptz not null
);

create table events (
    position bigint not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    -- ULID
    event_id text collate "C" not null,
    event_type text collate "C" not null,
    source_service text not null,
    -- Null for events that are about no series.
    series_ids text[],
    -- The payload in the proto3 JSON mapping, for people and dashboards.
    payload jsonb not null,
    -- The event in the protobuf format without position and recorded_at, for streams.
    encoded bytea not null
);

select create_hypertable(
    'events', 'occurred_at',
    chunk_time_interval => interval '7 days',
    create_default_indexes => false
);

-- An id's time and occurred_at lie within an hour of each other, so every twin of an id is within
-- an hour of the id's own time: this index decides uniqueness while touching one or two chunks.
create unique index events_event_id on events (event_id, occurred_at);
create index events_position on events (position);
