-- As in 0028, but for the look after the lock: it is a query, for `to_regclass` may answer from what this session remembered before it
-- waited, and an advisory lock does not renew that.
create or replace function warehouse.attach_month(first date) returns void
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
