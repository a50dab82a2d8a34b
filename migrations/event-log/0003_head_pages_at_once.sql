-- The table of the head gets the pages that 0005 wants, at once.
--
-- 0005 makes them of one version of the row after another, and each passes all before it: half a second of a processor
-- for every new log. Here rows are inserted and taken back, which leaves their pages, and 0005 finds nothing to do. A log
-- that has 0004 already has no key to drop any more, and its pages.
set local lock_timeout = '3s';
do $$
declare
    pages_min constant int := 64;
begin
    if not exists (
        select from pg_constraint where conrelid = 'log_head'::regclass and conname = 'log_head_pkey'
    ) then
        return;
    end if;
    alter table log_head drop constraint log_head_pkey;
    while pg_relation_size('log_head') < pages_min * current_setting('block_size')::bigint loop
        insert into log_head (last_position) select 0 from generate_series(1, 100);
    end loop;
    raise exception 'take back' using errcode = 'ATL03';
exception
    when sqlstate 'ATL03' then null;
end
$$;
