-- Accounts opened and closed per day. An account that is also reported as its sleeves is not counted, and an account at several vendors is
-- counted once: opened on the earliest date, and closed on the latest one if it is open at no vendor, apart from vendors that the firm no
-- longer uses.
create function mart.openings_and_closings_as_known(known_at timestamptz)
returns table (day date, opened bigint, closed bigint)
language sql stable as $$
    with record as (
        select coalesce(i.identity_id, a.account_id) as identity_id, a.account_id, i.id is not null as is_copy, a.is_counted, a.open_date, a.close_date,
               a.close_date is null and a.is_active is not false and n.source_key is null as is_open,
               k.vendor in (select vendor from mart.unused_vendor_known(known_at)) as is_unused
        from mart.account_known(known_at) a
        left join warehouse.source_key k on k.id = a.account_id
        left join mart.absence_known(known_at) n on (n.entity, n.vendor, n.source_key) = (k.entity, k.vendor, k.source_key)
        left join warehouse.identity i on i.entity = 'account' and i.id = a.account_id
              and i.recorded_from <= known_at and (i.recorded_to is null or i.recorded_to > known_at)
        where upper_inf(a.covers)
    ), account as (
        select identity_id, min(open_date) as opened_on,
               case when not coalesce(bool_or(is_open) filter (where not is_unused), bool_or(is_open)) then max(close_date) end as closed_on
        from record group by 1 having (array_agg(is_counted order by is_copy, account_id))[1]
    )
    select day, count(*) filter (where what = 'opened'), count(*) filter (where what = 'closed')
    from account cross join lateral (values (opened_on, 'opened'), (closed_on, 'closed')) e(day, what)
    where day is not null
    group by 1
$$;
create view mart.openings_and_closings as select * from mart.openings_and_closings_as_known('infinity');
