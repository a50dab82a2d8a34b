-- How many events of each type were consumed.
CREATE TABLE counts (
    event_type text PRIMARY KEY,
    events bigint NOT NULL
);
