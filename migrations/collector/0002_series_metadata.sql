-- What a source says about a series is asked for again now and then, and what it said before is kept.

-- When the source was last asked what it says about the series; null before the first time.
alter table series add column metadata_asked_at timestamptz;

-- What the source said about a series until it said something else: of values before and after a change, the units may
-- differ.
create table series_metadata_changes (
    series_id text collate "C" not null,
    -- When the change was noticed.
    changed_at timestamptz not null,
    -- What the source said until then.
    title text,
    units text,
    frequency text,
    seasonal_adjustment text,
    primary key (series_id, changed_at)
);
