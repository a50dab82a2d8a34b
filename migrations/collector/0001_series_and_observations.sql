-- What the collector keeps beside its log. Applied in the schema of its owner (first in search_path).

-- The series that are collected, and how far.
create table series (
    series_id text collate "C" primary key,
    source text not null default 'fred',
    -- What the source says about the series; null until it was first asked.
    title text,
    units text,
    frequency text,
    seasonal_adjustment text,
    -- Cron expression in UTC; null for the one that suits the frequency.
    schedule text,
    paused boolean not null default false,
    -- The first observation date that is collected; null for all there are.
    backfill_from date,
    -- The source's day up to which everything is known; null before the first collection and after an
    -- extension of backfill_from. Moves in the transaction that appends what was known up to there.
    vintage_cursor date,
    -- Counts what collections did. One that finds another count than before it asked the source
    -- discards what it got.
    version bigint not null default 0,
    added_at timestamptz not null,
    last_attempt_at timestamptz,
    last_success_at timestamptz,
    consecutive_failures integer not null default 0,
    last_error_code text,
    last_error_message text,
    next_collection_at timestamptz not null,
    -- Which worker collects it at present, and until when (clock of the database) that holds unless
    -- the worker renews it.
    claimed_by text,
    claimed_until timestamptz
);

-- The last two requests with a key: one row for each key, shared by all collectors.
create table source_pace (
    -- SHA-256 of the key.
    key_hash bytea primary key,
    -- Counts requests.
    sequence bigint not null,
    -- When the last request was made or, once its answer has begun, the latest time at which it can
    -- have arrived; the same of the request before.
    last_at timestamptz not null,
    before_last_at timestamptz not null
);

-- Every value of every series, with the time from which it was known: the fold of all
-- SeriesCollected events, in position order.
create table observations (
    series_id text collate "C" not null,
    date date not null,
    known_from timestamptz not null,
    -- Of the event that told it.
    position bigint not null,
    -- Null where an earlier value was withdrawn, or never was any.
    value numeric,
    primary key (series_id, date, known_from, position)
);

select create_hypertable(
    'observations', 'date',
    chunk_time_interval => interval '3652 days',
    create_default_indexes => false
);
