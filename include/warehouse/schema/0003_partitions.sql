-- Loaders may not change the schema: these functions run as its owner.

-- Create a month of positions. ATTACH PARTITION does not conflict with a session that reads or writes the table; CREATE TABLE ...
-- PARTITION OF would wait for every transaction that has read it. The advisory lock is taken only while the month is missing. After the
-- lock, the check is a query: `to_regclass` may answer from what this session remembered before it waited.
create function warehouse.attach_month(first date) returns void
language plpgsql set search_path = pg_catalog as $$
declare
    part text := 'position_' || to_char(first, 'YYYY_MM');
begin
    if to_regclass('warehouse.' || quote_ident(part)) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('warehouse.position'), extract(year from first)::int * 100 + extract(month from first)::int);
    if not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                   where n.nspname = 'warehouse' and c.relname = part) then
        execute format('create table warehouse.%I (like warehouse.position including all excluding indexes)', part);
        execute format('alter table warehouse.position attach partition warehouse.%I for values from (%L) to (%L)',
                       part, first, (first + interval '1 month')::date);
    end if;
end $$;
revoke all on function warehouse.attach_month(date) from public;

-- Create the month that a load needs; and this month and the next two ahead of time, where it would not wait for a lock.
create function warehouse.ensure_month(day date) returns void
language plpgsql security definer set search_path = pg_catalog as $$
declare
    patience text := current_setting('lock_timeout');
    months   int;
    first    date;
begin
    perform warehouse.attach_month(date_trunc('month', day)::date);
    for months in 0..2 loop
        first := (date_trunc('month', current_date) + make_interval(months => months))::date;
        continue when to_regclass('warehouse.position_' || to_char(first, 'YYYY_MM')) is not null;
        begin
            perform set_config('lock_timeout', '50ms', true);
            perform warehouse.attach_month(first);
            perform set_config('lock_timeout', patience, true);
        exception when lock_not_available then  -- which also restores the time-out
            raise log 'The partition of warehouse.position for % was not created ahead of time: a lock was not available', first;
        end;
    end loop;
end $$;
revoke all on function warehouse.ensure_month(date) from public;

-- Analyze the tables of which many rows changed, by autovacuum's own measure; return their count.
create function warehouse.refresh_statistics() returns int
language plpgsql security definer set search_path = pg_catalog as $$
declare
    changed regclass;
    done    int := 0;
begin
    for changed in
        select c.oid from pg_class c join pg_stat_all_tables s on s.relid = c.oid
        where s.schemaname in ('control', 'warehouse') and c.relkind = 'r'
          and s.n_mod_since_analyze > 50 + 0.1 * greatest(c.reltuples, 0)
        order by c.oid
    loop
        execute format('analyze %s', changed);
        done := done + 1;
    end loop;
    return done;
end $$;
revoke all on function warehouse.refresh_statistics() from public;
grant execute on function warehouse.ensure_month(date), warehouse.refresh_statistics() to tributary_load;
