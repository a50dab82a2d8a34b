-- Alerts that others send over REST, and the removal of old alerts.

-- The service checks the kinds itself: each version knows more of them.
alter table rules drop constraint if exists rules_kind_check;

-- Requests with an idempotency key that were carried out, and what they were answered.
create table intake_requests (
    tenant text collate "C" not null,
    key text collate "C" not null,
    -- SHA-256 of the body: one key stands for one request.
    digest bytea not null,
    response jsonb not null,
    created_at timestamptz not null,
    primary key (tenant, key)
);

create index intake_requests_created on intake_requests (created_at);

-- What is old enough to be removed.
create index alerts_ended on alerts (ended_at) where ended_at is not null;
