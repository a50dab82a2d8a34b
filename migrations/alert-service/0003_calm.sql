-- Silences and preferences of tenants, groups of messages, and what suppressed a delivery.

create table silences (
    -- ULID
    id text collate "C" primary key,
    tenant text collate "C" not null,
    -- A list of texts such as theme="stress"; an alert that matches all of them is silenced.
    matchers jsonb not null,
    reason text not null,
    created_by text collate "C" not null,
    starts_at timestamptz not null,
    -- Moved to the present by whoever ends it early.
    ends_at timestamptz not null,
    version bigint not null default 1 check (version > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint silences_start_before_they_end check (starts_at <= ends_at)
);

create index silences_tenant on silences (tenant, id);
-- Those that hold, or will.
create index silences_end on silences (tenant, ends_at);

-- What a tenant wants of all its alerts: quiet hours, limits, inhibitions, routes, grouping, escalations.
create table preferences (
    tenant text collate "C" primary key,
    settings jsonb not null,
    version bigint not null default 1 check (version > 0),
    updated_at timestamptz not null
);

alter table changes drop constraint changes_object_check;
alter table changes add constraint changes_object_check
    check (object in ('channel', 'rule', 'alert', 'silence', 'preferences'));

-- The silence, the alert or the delivery that is the reason why it is not sent, where the reason is one of these.
alter table deliveries add column suppressor text collate "C";
-- What it has in common with others that one message stands for; null: it is in no group.
alter table deliveries add column group_key text collate "C";

-- Those that one message stands for, by that message.
create index deliveries_grouped on deliveries (suppressor) where suppressed_by = 'grouped';
create index deliveries_groups on deliveries (channel_id, group_key, kind, created_at) where group_key is not null;
-- What limits count.
create index deliveries_begun on deliveries (tenant, created_at) where kind = 'firing' and step = 0;
-- What may inhibit others.
create index alerts_open_tenant on alerts (tenant, id) where state in ('firing', 'acknowledged');

-- Who asks Telegram what a bot was sent, and from which update on. A bot is the digest of its token.
create table telegram_bots (
    bot text collate "C" primary key,
    holder text collate "C" not null,
    lease_until timestamptz not null,
    next_update bigint not null default 0
);
