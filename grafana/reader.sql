-- Creates or updates the role with which Grafana reads the tables of both services, and nothing else. The owner of the tables
-- runs it, any number of times:
--   psql "$DATABASE_URL" -c "set atlas.reader_password = '…'" -f grafana/reader.sql
-- If database.schema of a service is not `collector` or `threshold_engine`, set atlas.collector_schema or atlas.engine_schema
-- first. Run it outside of a transaction: each table is granted in a transaction of its own. A grant and the first row of a new
-- hypertable change the same rows of the catalogue, and a grant of several tables could deadlock with it.
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
        raise exception 'set atlas.reader_password first: the role has no default password';
    end if;
    if not exists (select from pg_roles where rolname = 'atlas_reader') then
        create role atlas_reader;
    end if;
    execute format('alter role atlas_reader login connection limit 20 password %L',
                   current_setting('atlas.reader_password'));
    -- Limits of a dashboard.
    alter role atlas_reader set default_transaction_read_only = on;
    alter role atlas_reader set statement_timeout = '30s';
    foreach schema_name in array schemas loop
        -- A service that has not run yet creates its tables later.
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
