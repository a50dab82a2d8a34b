-- Administrative actions, of every service. Applied in the schema of the service (first in search_path).

create table audit (
    number bigint generated always as identity primary key,
    -- When the action was answered.
    at timestamptz not null,
    -- Name of the token, else the subject of the client's certificate, else anonymous.
    who text not null,
    -- Address of the client.
    from_address text,
    -- Method and path, or the name of the RPC.
    action text not null,
    -- What was asked for.
    detail text not null,
    -- ok, or why not.
    outcome text not null
);

comment on table audit is 'Who had what administrative action carried out, when, from where, and how it ended';
