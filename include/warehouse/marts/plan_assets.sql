-- Assets of a household, as its planning vendor lists them and as the portfolio systems state them. `copied_usd` is in accounts that a
-- portfolio system also has: the household's net worth is `managed_usd + held_away_usd`, which counts each account once.
create function mart.plan_assets_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, representative_id bigint, representative_name text, vendor text,
               copied_usd numeric, held_away_usd numeric, managed_usd numeric, difference_usd numeric, listed_on date)
language sql stable rows 10000 set enable_nestloop to off as $$
    with house as (
        select * from mart.household_as_one(known_at)
    ), copy as materialized (
        select id from warehouse.identity
        where entity = 'account' and recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    ), day as (
        select distinct on (vendor) vendor, business_date from control.ledger
        where stage = 'load' and entity = 'account_value' and pulled = 'current' and recorded_at <= known_at
        order by vendor, business_date desc, ledger_id desc
    ), managed as (
        select h.anchor_id, sum(v.market_value_usd * o.share_ratio) as usd
        from day d
        join warehouse.account_value v on v.business_date = d.business_date and v.vendor = d.vendor
             and v.recorded_from <= known_at and (v.recorded_to is null or v.recorded_to > known_at)
        join mart.account_known(known_at) a on a.account_id = v.account_id and upper_inf(a.covers) and a.is_counted
        join mart.account_owner_known(known_at) o on o.account_id = v.account_id and upper_inf(o.covers)
        join house h on h.household_id = o.household_id
        where not exists (select from copy c where c.id = v.account_id)
        group by 1
    ), listed as (
        select h.anchor_id, o.vendor, sum(w.market_value_usd) filter (where c.id is not null) as copied_usd,
               sum(w.market_value_usd) filter (where c.id is null) as held_away_usd, min(w.stated_on) as listed_on
        from warehouse.outside_account o
        join house h on h.household_id = o.household_id
        join lateral (
            select n.market_value_usd, n.stated_on from warehouse.outside_value n
            where n.outside_account_id = o.outside_account_id
              and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
            order by n.requested_on desc, n.requested_at desc limit 1
        ) w on true
        left join copy c on c.id = o.outside_account_id
        where o.valid_to is null and o.recorded_from <= known_at and (o.recorded_to is null or o.recorded_to > known_at)
          and not exists (select from control.absence a where a.vendor = o.vendor and a.entity = 'outside_account'
                                                          and a.source_key = o.outside_account_key and a.noted_at <= known_at)
        group by 1, 2
    )
    select l.anchor_id, h.household_name, h.representative_id, h.representative_name, l.vendor,
           round(coalesce(l.copied_usd, 0), 2), round(coalesce(l.held_away_usd, 0), 2), round(coalesce(m.usd, 0), 2),
           round(coalesce(l.copied_usd, 0) - coalesce(m.usd, 0), 2), l.listed_on
    from listed l
    join house h on h.household_id = l.anchor_id
    left join managed m on m.anchor_id = l.anchor_id
$$;
create view mart.plan_assets as select * from mart.plan_assets_as_known('infinity');
