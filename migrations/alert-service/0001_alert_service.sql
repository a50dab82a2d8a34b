-- The alert service: channels and rules of tenants, alerts and their deliveries. Applied in the schema of the service (first
-- in search_path). A tenant is the name of the entry of a token; no statement of the service on behalf of a tenant touches
-- rows of another.

create table channels (
    -- ULID
    id text collate "C" primary key,
    tenant text collate "C" not null,
    name text not null,
    -- Such as webhook; the same as in configuration.
    kind text collate "C" not null,
    -- What may be shown.
    configuration jsonb not null,
    -- Encrypted; never shown.
    sealed_secret bytea,
    -- Who shares limits and the circuit breaker with others: a host, a bot.
    destination text collate "C" not null,
    enabled boolean not null default true,
    disabled_reason text,
    version bigint not null default 1 check (version > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint channels_disabled_have_a_reason check (enabled = (disabled_reason is null))
);

create index channels_tenant on channels (tenant, id);

create table rules (
    -- ULID
    id text collate "C" primary key,
    tenant text collate "C" not null,
    kind text collate "C" not null check (kind in ('pattern', 'regime')),
    -- The one pattern or model that it is about; null: any.
    subject text collate "C",
    definition jsonb not null,
    -- triggered: a rule of which one alert was to be notified, and was.
    state text collate "C" not null default 'active' check (state in ('active', 'paused', 'triggered')),
    snoozed_until timestamptz,
    version bigint not null default 1 check (version > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create index rules_tenant on rules (tenant, id);
create index rules_subject on rules (kind, subject);

-- Every change of a channel, a rule or an alert, and who made it. No secrets.
create table changes (
    number bigint generated always as identity primary key,
    tenant text collate "C" not null,
    object text collate "C" not null check (object in ('channel', 'rule', 'alert')),
    object_id text collate "C" not null,
    -- Such as created, paused, acknowledged.
    change text collate "C" not null,
    -- Name of the token's entry; null: an event caused it.
    changed_by text,
    note text not null default '',
    changed_at timestamptz not null
);

create index changes_object on changes (object, object_id, number);

create table alerts (
    -- ULID
    id text collate "C" primary key,
    tenant text collate "C" not null,
    rule_id text collate "C" not null,
    -- What fires, within the rule: pattern:vix-above-30.
    fingerprint text collate "C" not null,
    -- 1, 2, 3, … of the fingerprint within the rule.
    episode bigint not null check (episode > 0),
    state text collate "C" not null check (state in ('firing', 'acknowledged', 'resolved', 'withdrawn')),
    severity text collate "C" not null check (severity in ('info', 'warning', 'critical')),
    title text not null,
    message text not null,
    labels jsonb not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    -- When its deliveries were created, if any of them was not suppressed: what cooldown and daily limit count.
    notified_at timestamptz,
    -- The event that it began with.
    cause_log_id uuid,
    cause_event_id text collate "C" not null,
    cause_position bigint not null,
    created_at timestamptz not null,
    unique (rule_id, fingerprint, episode),
    constraint alerts_ended_when_closed check ((ended_at is null) = (state in ('firing', 'acknowledged')))
);

-- One open alert for each fingerprint of a rule.
create unique index alerts_open on alerts (rule_id, fingerprint) where state in ('firing', 'acknowledged');
create index alerts_open_fingerprint on alerts (fingerprint) where state in ('firing', 'acknowledged');
create index alerts_tenant on alerts (tenant, id);
create index alerts_cause on alerts (cause_event_id);
create index alerts_notified on alerts (rule_id, notified_at) where notified_at is not null;

create table deliveries (
    -- ULID
    id text collate "C" primary key,
    tenant text collate "C" not null,
    alert_id text collate "C" not null references alerts (id),
    channel_id text collate "C" not null,
    channel_kind text collate "C" not null,
    destination text collate "C" not null,
    kind text collate "C" not null check (kind in ('firing', 'resolved', 'correction')),
    -- Of several messages of one kind; 0 until there are reminders or escalations.
    step integer not null default 0,
    -- 1, 2, 3, … within alert and channel: the order in which they are sent.
    sequence integer not null check (sequence > 0),
    state text collate "C" not null
        check (state in ('pending', 'sending', 'sent', 'failed', 'suppressed', 'given_up')),
    suppressed_by text collate "C",
    -- What is sent, the same at each attempt.
    message jsonb not null,
    attempts integer not null default 0 check (attempts >= 0),
    -- Attempts of which it is not known whether the channel took the message over.
    unknown_attempts integer not null default 0,
    not_before timestamptz not null,
    -- Why it waits until then; null: it is due at once.
    wait_reason text,
    deadline timestamptz not null,
    -- The attempt under way: one more with each claim, so that whoever lost its lease records nothing.
    claim bigint not null default 0,
    lease_until timestamptz,
    receipt text,
    last_error text,
    created_at timestamptz not null,
    finished_at timestamptz,
    -- When the event that caused it was stored by its log.
    caused_at timestamptz,
    unique (alert_id, channel_id, kind, step),
    unique (alert_id, channel_id, sequence),
    constraint deliveries_suppressed_for_one_reason check ((state = 'suppressed') = (suppressed_by is not null)),
    constraint deliveries_sending_are_leased check ((state = 'sending') = (lease_until is not null))
);

-- What is due, destination by destination.
create index deliveries_pending on deliveries (destination, not_before, id) where state = 'pending';
create index deliveries_leases on deliveries (lease_until) where state = 'sending';
create index deliveries_tenant on deliveries (tenant, id);
create index deliveries_channel on deliveries (channel_id) where state in ('pending', 'sending');
create index deliveries_dead on deliveries (state, id) where state in ('failed', 'given_up');

-- Circuit breakers and pauses, shared by all instances.
create table destinations (
    destination text collate "C" primary key,
    -- Failed attempts in a row.
    failures integer not null default 0 check (failures >= 0),
    paused_until timestamptz,
    pause_reason text
);
