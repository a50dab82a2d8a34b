-- The role by which Grafana reads: the tables of both services, and nothing else. By the owner of the tables, as often as
-- one likes:
--   psql "$DATABASE_URL" -c "set atlas.reader_password = '…'" -f grafana/reader.sql
-- The schemas are those of the services' settings database.schema; others than `collector` and `threshold_engine` are to be
-- set as atlas.collector_schema and atlas.engine_schema before.
-- Outside of a transaction: every table is granted in one of its own. A grant and the first row of a new hypertable change
-- the same rows of the catalogue, and each would wait for the other if one grant held several of them.
do $$
declare
    schema_name text;
    table_name text;
    schemas text[] := array[
        coalesce(nullif(current_setting('atlas.collector_schema', true), ''), 'collector'),
        coalesce(nullif(current_setting('atlas.engine_schema', true), ''), 'threshold_engine')
    ];
begin
    if coalesce(current_setting('atlas.reader_password', true), '') = '' then
        raise exception 'set atlas.reader_password first: the role has no password that everybody knows';
    end if;
    if not exists (select from pg_roles where rolname = 'atlas_reader') then
        create role atlas_reader;
    end if;
    execute format('alter role atlas_reader login connection limit 20 password %L',
                   current_setting('atlas.reader_password'));
    -- What a dashboard may cost.
    alter role atlas_reader set default_transaction_read_only = on;
    alter role atlas_reader set statement_timeout = '30s';
    foreach schema_name in array schemas loop
        -- A service that has not run yet makes its tables later.
        execute format('create schema if not exists %I', schema_name);
        execute format('grant usage on schema %I to atlas_reader', schema_name);
        execute format('alter default privileges in schema %I grant select on tables to atlas_reader', schema_name);
        commit;
        for table_name in
            select relname from pg_class
            where relnamespace = to_regnamespace(quote_ident(schema_name)) and relkind in ('r', 'p', 'v', 'm')
            order by relname
        loop
            execute format('grant select on %I.%I to atlas_reader', schema_name, table_name);
            commit;
        end loop;
    end loop;
end
$$;
