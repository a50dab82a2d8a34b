-- What the threshold engine keeps beside its log and its checkpoints. Applied in the schema of its owner (first in
-- search_path). Everything it has in memory is made of this.

-- One row. Whoever adds points or definitions holds its lock until the commit, so that there is one sequence.
create table engine_head (
    singleton boolean primary key default true check (singleton),
    -- Number of the last point; 0 before the first.
    last_sequence bigint not null default 0 check (last_sequence >= 0),
    -- The transaction that was the last to change anything: memory that knows of another one is out of date.
    changed_by bigint not null default 0
) with (fillfactor = 10);

insert into engine_head default values;

-- Every data point, with the vintages of a date, in the order in which the engine saw them.
create table points (
    sequence bigint primary key,
    -- The event that brought it, and which of its points it is, from 0.
    source text not null,
    position bigint not null,
    point_index integer not null,
    event_id text collate "C" not null,
    occurred_at timestamptz not null,
    series_id text collate "C" not null,
    date date not null,
    known_from timestamptz not null,
    -- Null withdraws an earlier value.
    value numeric
);

create index points_by_series on points (series_id, sequence);

-- What was put to work and taken away, and when: with the points in between, the engine's whole history.
create table definition_changes (
    change bigint generated always as identity primary key,
    kind text not null check (kind in ('pattern', 'regime')),
    id text not null,
    -- Null where the definition was taken away.
    version text,
    -- Path within the folder of definitions, and the text of the file.
    file text,
    content text,
    -- It holds for the points after this number.
    after_sequence bigint not null,
    changed_at timestamptz not null default now(),
    constraint definition_changes_are_whole check ((version is null) = (content is null) and (version is null) = (file is null))
);

-- Who switched patterns on and off by hand; the last one of a pattern counts. Without one its file decides.
create table pattern_switches (
    switch bigint generated always as identity primary key,
    pattern_id text not null,
    enabled boolean not null,
    reason text not null,
    switched_at timestamptz not null default now()
);

create index pattern_switches_last on pattern_switches (pattern_id, switch desc);
