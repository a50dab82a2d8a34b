-- Set once a process has noticed that the database was restored to an earlier state: the last position
-- that it knew of. While it is set nothing is appended, by whatever process; giving the log a new
-- identity clears it.
alter table log_head add column halted_after bigint;
