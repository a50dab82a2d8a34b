-- Rules over series: what is known of each date of each series, and which rules were edited.

alter table rules drop constraint rules_kind_check;
alter table rules add constraint rules_kind_check
    check (kind in ('pattern', 'regime', 'price', 'indicator', 'composite', 'time', 'no_data'));

create table watched_series (
    -- As its source names it.
    id text collate "C" primary key,
    -- The last date that an event of it has reached; what is dated later is not looked at yet.
    reached date not null,
    -- When its last event with an observation was taken in: what silence is counted from.
    seen_at timestamptz not null,
    -- The change of series_head that it was written by.
    sequence bigint not null
);

create index watched_series_sequence on watched_series (sequence);

-- Of each date the newest vintage.
create table watched_points (
    series_id text collate "C" not null,
    date date not null,
    known_from timestamptz not null,
    -- null: withdrawn.
    value numeric,
    sequence bigint not null,
    primary key (series_id, date)
);

create index watched_points_sequence on watched_points (sequence);

-- One row. Who locks it orders points against edits of rules.
create table series_head (
    is_only boolean primary key default true check (is_only),
    -- 1, 2, 3, … with each batch of points.
    sequence bigint not null default 0,
    -- 1, 2, 3, … with each edit of a rule over series.
    edit bigint not null default 0,
    -- Up to which edit alerts were begun and ended for what rules have become.
    settled_edit bigint not null default 0,
    -- The transaction that was the last to change points or alerts by them.
    changed_by bigint not null default 0
);

insert into series_head default values;

-- Edits of rules over series, deletions among them.
create table rule_edits (
    edit bigint primary key,
    rule_id text collate "C" not null
);
