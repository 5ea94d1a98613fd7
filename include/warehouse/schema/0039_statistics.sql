-- Analyze tables that the caller has filled, in the caller's transaction. `analyze` itself requires ownership; without it, PostgreSQL skips
-- the table with a warning. `warehouse.refresh_statistics` can't see rows that are not committed.
create function warehouse.analyze_tables(variadic names text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    filled regclass;
begin
    for filled in
        select c.oid from unnest(names) n join pg_class c on c.oid = n::regclass
        where c.relnamespace in ('control'::regnamespace, 'warehouse'::regnamespace) and c.relkind = 'r'
    loop
        execute format('analyze %s', filled);
    end loop;
end $$;
revoke all on function warehouse.analyze_tables(text[]) from public;
grant execute on function warehouse.analyze_tables(text[]) to tributary_load;

-- Without `pg_temp` at the end, PostgreSQL searches the caller's temporary tables first.
alter function warehouse.attach_month(date) set search_path = pg_catalog, pg_temp;
alter function warehouse.ensure_month(date) set search_path = pg_catalog, pg_temp;
alter function warehouse.refresh_statistics() set search_path = pg_catalog, pg_temp;
