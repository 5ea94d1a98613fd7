-- Repair databases that were created by a commit before the first release, when migrations were still edited in place. On any other
-- database these statements change nothing.
do $$
begin
    if (select pg_get_constraintdef(oid) not like '%''pushed''%' from pg_constraint
        where conrelid = 'control.ledger'::regclass and conname = 'ledger_pulled_check') then
        alter table control.ledger drop constraint ledger_pulled_check;
        alter table control.ledger add constraint ledger_pulled_check
            check (pulled in ('present', 'past', 'chosen', 'pushed', 'replay'));
    end if;
end $$;
grant select (ledger_id, run_id, vendor, table_name, stage, staged, dead) on control.ledger to tributary_hear;

-- A month of positions. ATTACH PARTITION does not conflict with a session that reads or writes the table; CREATE TABLE ... PARTITION OF
-- would wait for every transaction that has read it. The advisory lock is taken only while the month is missing.
create or replace function warehouse.attach_month(first date) returns void
language plpgsql set search_path = pg_catalog as $$
declare
    part text := 'position_' || to_char(first, 'YYYY_MM');
begin
    if to_regclass('warehouse.' || quote_ident(part)) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('warehouse.position'), extract(year from first)::int * 100 + extract(month from first)::int);
    if to_regclass('warehouse.' || quote_ident(part)) is null then
        execute format('create table warehouse.%I (like warehouse.position including all excluding indexes)', part);
        execute format('alter table warehouse.position attach partition warehouse.%I for values from (%L) to (%L)',
                       part, first, (first + interval '1 month')::date);
    end if;
end $$;
revoke all on function warehouse.attach_month(date) from public;

-- The month that a load needs; and this month and the next two ahead of time, where no lock has to be waited for.
create or replace function warehouse.ensure_month(day date) returns void
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

-- The sessions that hold locks on these tables (none named: on any of ours), strongest lock first. Runs as the owner, which may read the
-- states of all sessions; it returns no text of a query.
create function control.find_lock_holders(tables text[])
returns table (pid int, role text, application text, state text, since timestamptz, lock text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with named as (
        select to_regclass(given)::oid as oid from unnest(tables) as given
        union
        select inhrelid from pg_inherits where inhparent in (select to_regclass(given) from unnest(tables) as given)
    ),
    held as (
        select l.pid, l.mode, c.oid, c.relname, l.relation in (select oid from named where oid is not null) as is_named,
               array_position(array['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
                                    'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock', 'AccessShareLock'], l.mode) as place
        from pg_locks l
        left join pg_class c on c.oid = l.relation
        where l.granted and l.database = (select oid from pg_database where datname = current_database())
          and (l.locktype = 'advisory'
               or l.locktype = 'relation' and c.relnamespace::regnamespace::text in ('control', 'warehouse', 'mart'))
    ),
    strongest as (
        select distinct on (pid) * from held
        where is_named or not exists (select from held where is_named)
        order by pid, place, relname
    )
    select s.pid, coalesce(a.usename, a.backend_type), a.application_name, a.state, a.xact_start,
           concat_ws(' on ', s.mode, s.relname)
    from strongest s join pg_stat_activity a using (pid)
    where s.pid <> pg_backend_pid()
    order by s.place, a.xact_start
$$;
revoke all on function control.find_lock_holders(text[]) from public;
grant execute on function control.find_lock_holders(text[])
    to tributary_load, tributary_read, tributary_hear, tributary_gateway, tributary_api;

-- A notification, and a run, only for an event that an active subscriber wants.
create or replace function control.ring_outbox() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from made e join control.outbound_subscriber s
               on s.state = 'active' and e.type = any(s.types) and (cardinality(s.vendors) = 0 or e.vendor = any(s.vendors))) then
        perform pg_notify('tributary_outbox', '');
    end if;
    return null;
end
$$;
grant select (type, vendor) on control.outbox to tributary_hear;
grant select (types, vendors) on control.outbound_subscriber to tributary_hear;
