-- What happened to a definition by each change, as it was emitted. Null in rows of earlier versions, whose changes were
-- not emitted.
alter table definition_changes
    add column action text check (action in ('deployed', 'replaced', 'suspended', 'removed')),
    add column reason text;

-- Definitions whose evaluation failed: this version is not evaluated again before somebody enables it or another version
-- takes its place.
create table suspensions (
    kind text not null check (kind in ('pattern', 'regime')),
    id text not null,
    version text not null,
    reason text not null,
    -- The event at which it failed; null if it failed over what was known already.
    source text,
    event_id text collate "C",
    position bigint,
    suspended_at timestamptz not null default now(),
    primary key (kind, id),
    constraint suspensions_have_an_event check ((source is null) = (event_id is null) and (source is null) = (position is null))
);
