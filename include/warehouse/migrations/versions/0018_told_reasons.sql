-- What programs are told of a reason, by event and by the API alike. Of a CRM's only the code, which stands before the colon: behind
-- it may stand what a record holds.
create function control.cut_reasons(stage text, reasons text[]) returns text[] language sql immutable as $$
    select coalesce(array_agg(left(case stage when 'crm' then split_part(reason, ':', 1) else reason end, 200) order by place), '{}')
    from unnest(reasons) with ordinality as given(reason, place)
$$;
alter table control.dead_letter
    add told_reasons text[] not null generated always as (control.cut_reasons(stage, reasons)) stored;
revoke select (reasons) on control.dead_letter from tributary_api;
grant select (told_reasons) on control.dead_letter to tributary_api;

-- One event a statement and partition, however many letters, with the twenty commonest reasons.
create or replace function control.tell_dead_letters() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into control.outbox (type, vendor, subject, data)
    select 'tributary.dead_letter.made', vendor, concat_ws('/', vendor, table_name, business_date),
           jsonb_build_object('vendor', vendor, 'table', table_name, 'business_date', business_date, 'stage', stage,
                              'run_id', run_id, 'partition', partition, 'count', letters, 'reasons', (
               select coalesce(jsonb_object_agg(reason, times), '{}') from (
                   select reason, count(*) as times
                   from made m cross join lateral (select distinct reason from unnest(m.told_reasons) as reason) why
                   where (m.vendor, m.table_name, m.business_date, m.stage, m.run_id, m.partition)
                       = (l.vendor, l.table_name, l.business_date, l.stage, l.run_id, l.partition)
                   group by reason order by times desc, reason limit 20
               ) commonest))
    from (
        select vendor, table_name, business_date, stage, run_id, partition,
               min(dead_letter_id) as first_id, count(*) as letters
        from made group by 1, 2, 3, 4, 5, 6
    ) l order by first_id;
    return null;
end
$$;
