-- Points of releases that came in several events and of which the last is still to come. The transaction of the last
-- one moves them to `points`, as points of its event.
create table release_parts (
    source text not null,
    series_id text collate "C" not null,
    -- The event that brought it, and which of its points it is, from 0.
    position bigint not null,
    -- Which part of its release it is of, from 1.
    part integer not null,
    point_index integer not null,
    event_id text collate "C" not null,
    occurred_at timestamptz not null,
    date date not null,
    known_from timestamptz not null,
    -- Null withdraws an earlier value.
    value numeric,
    primary key (source, series_id, position, point_index)
);
