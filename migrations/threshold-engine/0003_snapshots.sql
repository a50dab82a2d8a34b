-- What the engine's memory was at points of the sequence, so that a start plays only what came later. Everything here
-- follows from the other tables: it may be deleted at any time.

create table snapshots (
    snapshot bigint generated always as identity primary key,
    -- How its bytes are to be read, and which rules of evaluation led to it.
    format integer not null,
    evaluation integer not null,
    -- The head behind which it was taken, and how many changes of definitions there were.
    last_sequence bigint not null,
    changed_by bigint not null,
    changes bigint not null,
    -- What it consists of, in JSON, with the hashes of its parts; and the SHA-256 of that.
    manifest text not null,
    checksum bytea not null,
    taken_at timestamptz not null default now()
);

-- Observations and what was told of them, in spans of years; parts that have not changed are shared by snapshots.
create table snapshot_parts (
    -- SHA-256 of the content.
    hash bytea primary key,
    content bytea not null,
    -- The last snapshot that has it.
    used_by bigint not null
);
-- What does not compress is only made slower by the attempt.
alter table snapshot_parts alter column content set storage external;
