-- Totals of the firm by vendor and business date, as known at a time: households, persons, legal entities and accounts whose description is
-- valid on that day, and the positions with their value. Vendors state no past descriptions, so a description is valid from the first day on which it was loaded.
-- All positions of the vendor count; `mart.aum_by_household` leaves out copies and sleeves. `ledger_ids` are the loads that wrote the rows (see
-- `mart.load_source`).
create function mart.firm_as_known(known_at timestamptz, first_day date default '-infinity', last_day date default 'infinity')
returns table (business_date date, vendor text, entity text, records bigint, market_value_usd numeric, ledger_ids bigint[])
language sql stable set enable_nestloop to off as $$
    with day as (
        select distinct vendor, business_date from control.ledger
        where stage = 'load' and vendor <> 'salesforce' and recorded_at <= known_at and business_date between first_day and last_day
    ), record as (
        select entity, vendor, valid, source_run_id from mart.record_version
        where entity in ('household', 'person', 'legal_entity', 'account') and recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    )
    select d.business_date, d.vendor, r.entity, count(*), null, array_agg(distinct r.source_run_id order by r.source_run_id)
    from day d join record r on r.vendor = d.vendor and r.valid @> d.business_date group by 1, 2, 3
    union all
    select p.business_date, p.vendor, 'position', count(*), sum(p.market_value_usd), array_agg(distinct p.source_run_id order by p.source_run_id)
    from warehouse.position p
    where p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at) and p.business_date between first_day and last_day
    group by 1, 2
$$;
create view mart.firm as select * from mart.firm_as_known('infinity');
