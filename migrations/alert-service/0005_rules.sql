-- Rules that combine others, and edits that are forgotten after some time.

alter table rule_edits add column edited_at timestamptz not null default now();
alter table rule_edits alter column edited_at drop default;

-- Up to this edit rule_edits may have gaps: whoever has seen less loads everything anew.
alter table series_head add column forgotten_edit bigint not null default 0;

-- Which rules a rule combines.
create table rule_uses (
    rule_id text collate "C" not null references rules (id) on delete cascade,
    used_id text collate "C" not null references rules (id),
    primary key (rule_id, used_id)
);

create index rule_uses_used on rule_uses (used_id);

-- Rules that combine others of which an alert has begun or ended since they were last looked at.
create table rule_turns (
    number bigint generated always as identity primary key,
    rule_id text collate "C" not null
);

-- What people see of the state of a rule.
create function rule_state(rule rules, at timestamptz) returns text language sql stable as $$
    select case
        when rule.state = 'paused' then 'paused'
        when (rule.definition->>'expires_at')::timestamptz <= at then 'expired'
        when rule.snoozed_until > at then 'snoozed'
        when exists (select from alerts where rule_id = rule.id and state = 'firing') then 'triggered'
        when exists (select from alerts where rule_id = rule.id and state = 'acknowledged') then 'acknowledged'
        -- It was to notify once, and has.
        when rule.state = 'triggered' then 'resolved'
        else 'active'
    end
$$;
