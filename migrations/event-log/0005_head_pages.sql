-- The table of the head is never small, so that no plan scans it.
--
-- A session keeps the plan of a statement. One that was made while the table had a single page is a scan of the table,
-- which passes every version of the row once somebody holds an old snapshot. With a page for each of these versions the
-- index is always cheaper; vacuum leaves the pages, as 0004 says.
set local lock_timeout = '3s';
do $$
declare
    pages_min constant int := 64;
begin
    while pg_relation_size('log_head') < pages_min * current_setting('block_size')::bigint loop
        update log_head set first_position = first_position;
    end loop;
end
$$;
