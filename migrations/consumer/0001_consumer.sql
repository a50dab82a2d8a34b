-- How far the consumers of a service have come. Applied in the schema of the service (first in search_path), beside the
-- tables of its effects, so that both change in one transaction.

-- Where a service stands in each log that it consumes.
--   position set:                    it resumes after this position of the log `log_id`;
--   position null, last_processed set: it seeks the first event that occurred at or after last_processed;
--   both null:                       it begins with the first event that the log keeps.
-- So the consumer follows an operator's
--   UPDATE checkpoint SET last_processed = '2025-01-01 00:00:00'::timestamptz WHERE service = 'ThresholdEngine';
-- and processes no event a second time, because processed_events knows those.
create table checkpoint (
    service text not null,
    source text not null,
    -- The log that `position` belongs to.
    log_id uuid,
    position bigint check (position >= 0),
    -- occurred_at of the last processed event, or the time to seek.
    last_processed timestamptz,
    updated_at timestamptz not null default now(),
    primary key (service, source),
    constraint checkpoint_position_is_of_a_log check (position is null or log_id is not null)
) with (fillfactor = 10);

-- Who changes the time and leaves the position means the time.
create function checkpoint_seek() returns trigger language plpgsql as $$
begin
    new.position := null;
    new.log_id := null;
    new.updated_at := now();
    return new;
end
$$;

create trigger checkpoint_seek before update on checkpoint for each row
when (new.last_processed is distinct from old.last_processed and new.position is not distinct from old.position)
execute function checkpoint_seek();

-- The events whose effects are committed, or which are parked: a replay skips them.
create table processed_events (
    service text not null,
    source text not null,
    -- ULID
    event_id text collate "C" not null,
    position bigint not null,
    occurred_at timestamptz not null,
    processed_at timestamptz not null default now(),
    primary key (service, source, event_id)
);

-- For pruning, which looks for what is old; nearly free to write.
create index processed_events_age on processed_events using brin (position, processed_at) with (autosummarize = on);

-- Events whose processing failed for good.
--   UPDATE parked_events SET state = 'retrying' WHERE …   hands them to the running consumer once more;
--   UPDATE parked_events SET state = 'discarded' WHERE …  gives them up.
create table parked_events (
    id bigint generated always as identity primary key,
    service text not null,
    source text not null,
    event_id text collate "C" not null,
    position bigint not null,
    event_type text collate "C" not null,
    occurred_at timestamptz not null,
    -- The event in the protobuf format.
    encoded bytea not null,
    -- The same for people, in the proto3 JSON mapping; null if it cannot be told in JSON.
    input jsonb,
    -- What failed: the service, or a part of it such as a pattern.
    handler text not null,
    reason text not null,
    -- How many times it was tried.
    attempts bigint not null check (attempts > 0),
    attempted_at timestamptz not null default now(),
    parked_at timestamptz not null default now(),
    state text not null default 'parked' check (state in ('parked', 'retrying', 'resolved', 'discarded')),
    unique (service, source, event_id)
);

create index parked_events_open on parked_events (service, state, id) where state in ('parked', 'retrying');
