-- Protobuf types that services registered for their events. Rows are only added.
create table event_types (
    -- In the order of commits: who adds a row locks the table first.
    id bigint generated always as identity primary key,
    subject text collate "C" not null,
    version integer not null,
    compatibility text not null,
    -- A google.protobuf.FileDescriptorSet, as it was uploaded.
    descriptors bytea not null,
    registered_at timestamptz not null default clock_timestamp(),
    -- The name of the token, or of whoever is known otherwise.
    registered_by text not null,
    unique (subject, version)
);
