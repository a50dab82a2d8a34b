-- The head is found by an index on its growing position, newest first.
--
-- An append leaves a dead version of the row behind. While an old snapshot is held (a pg_dump, a forgotten transaction),
-- neither pruning nor vacuum may remove these, and a scan of the table, or of a key that stays the same, passes all of
-- them. An index on the position ends with the newest version whatever lies before it. It must be the only index: a
-- unique one on a key that stays the same would be searched through all versions at each append.
--
-- Appends wait behind a statement that waits for the table, so this one gives up soon; the next start tries again.
set local lock_timeout = '3s';
alter table log_head drop constraint log_head_pkey;
create index log_head_position on log_head (last_position);

-- In place of the primary key: there is one head.
create function log_head_is_one_row() returns trigger language plpgsql as $$
declare
    present boolean;
begin
    execute format('select exists (select from %s)', tg_relid::regclass) into present;
    if present then
        raise exception 'log_head has one row, and it is there' using errcode = 'unique_violation';
    end if;
    return new;
end
$$;

create trigger log_head_is_one_row before insert on log_head for each row execute function log_head_is_one_row();

-- Room for versions on one page; vacuum leaves empty pages, as giving them back would lock the table and, on a replica,
-- cancel who reads it.
alter table log_head set (fillfactor = 100, vacuum_truncate = false);
