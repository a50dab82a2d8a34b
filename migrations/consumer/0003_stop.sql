-- A service that finds another history in a log than the one that it processed stops, and stays stopped over restarts.
alter table checkpoint
    -- The last event that was processed, at or before `position`: what the log has to hold there still.
    add column event_id text collate "C",
    add column event_position bigint,
    -- Why and since when the service consumes nothing more of this source. Whoever moves the checkpoint clears it.
    add column stopped_reason text,
    add column stopped_at timestamptz,
    -- While the service seeks a time: up to which position of which log it had processed everything. The seek leaves out
    -- nothing after that position. A null log: that position was of a history that is no more.
    add column seek_log_id uuid,
    add column seek_position bigint;

alter table checkpoint
    add constraint checkpoint_event_has_a_position check ((event_id is null) = (event_position is null)),
    add constraint checkpoint_stop_has_a_time check ((stopped_reason is null) = (stopped_at is null));

-- What follows from a move that somebody made:
--   who changes the time and leaves the position means the time;
--   a stop ends with it;
--   the last processed event is forgotten where it is no longer at or before the position in the same log, or where
--   the log was found not to hold it.
create or replace function checkpoint_seek() returns trigger language plpgsql as $$
declare
    moved boolean;
    same_event boolean := new.event_id is not distinct from old.event_id
        and new.event_position is not distinct from old.event_position;
begin
    if new.last_processed is distinct from old.last_processed and new.position is not distinct from old.position then
        new.position := null;
        new.log_id := null;
        new.updated_at := now();
    end if;
    moved := new.position is distinct from old.position or new.log_id is distinct from old.log_id
        or new.last_processed is distinct from old.last_processed;
    if new.position is not null then
        new.seek_log_id := null;
        new.seek_position := null;
    elsif old.position is not null then
        new.seek_log_id := case when old.stopped_at is null then old.log_id end;
        new.seek_position := old.position;
    end if;
    if old.stopped_at is not null and (moved or new.stopped_at is null) then
        new.stopped_reason := null;
        new.stopped_at := null;
    end if;
    if same_event and (new.position is null or new.log_id is distinct from old.log_id
            or new.event_position > new.position or (moved and old.stopped_at is not null)) then
        new.event_id := null;
        new.event_position := null;
    end if;
    return new;
end
$$;

drop trigger checkpoint_seek on checkpoint;

-- Not for the moves that batches make, but for the first one after a seek.
create trigger checkpoint_seek before update on checkpoint for each row
when (
    new.last_processed is distinct from old.last_processed and new.position is not distinct from old.position
    or new.position is null
    or old.position is null
    or new.log_id is distinct from old.log_id
    or new.event_position > new.position
    or old.stopped_at is not null
)
execute function checkpoint_seek();
