-- The turns in which the instances of a service handle events: whoever is about to write effects, of whatever source,
-- counts one more and so waits for the transaction before to end. An instance whose memory is not that of the turn just
-- before learns here that others have written since.
create table handler_turn (
    service text primary key,
    turn bigint not null check (turn > 0)
) with (fillfactor = 10);
