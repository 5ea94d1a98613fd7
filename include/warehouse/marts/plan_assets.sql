-- Assets of a household, as its planning vendor lists them and as the portfolio systems state them. `copied_usd` is in accounts that a
-- portfolio system also has: `managed_usd + held_away_usd` counts each account once. The records that count are those of `mart.net_worth_part`.
-- As in `mart.net_worth`, a sum is 0 without accounts, and null if none of its accounts has a value.
create function mart.plan_assets_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, representative_id bigint, representative_name text, vendor text,
               copied_usd numeric, held_away_usd numeric, managed_usd numeric, difference_usd numeric, listed_on date)
language sql stable rows 10000 set enable_nestloop to off as $$
    with house as (
        select * from mart.household_as_one(known_at)
    ), part as materialized (
        select * from mart.net_worth_part(known_at, null)
    ), managed as (
        select household_id, sum(value_usd) as usd from part where is_managed and account_id = counted_id group by 1
    ), listed as (
        select p.household_id, v.vendor,
               case when bool_or(c.id is not null) then sum(p.value_usd) filter (where c.id is not null) else 0 end as copied_usd,
               case when bool_or(c.id is null) then sum(p.value_usd) filter (where c.id is null) else 0 end as held_away_usd,
               min(v.stated_on) as listed_on
        from part p
        join warehouse.outside_value v
             on (v.outside_account_id, v.outside_value_key, v.recorded_from) = (p.account_id, p.value_key, p.recorded_from)
        left join warehouse.source_key c on c.id = p.counted_id and c.entity = 'account'
        where not p.is_managed
        group by 1, 2
    )
    select l.household_id, h.household_name, h.representative_id, h.representative_name, l.vendor,
           round(l.copied_usd, 2), round(l.held_away_usd, 2), round(m.usd, 2), round(l.copied_usd - m.usd, 2), l.listed_on
    from listed l
    join house h on h.household_id = l.household_id
    left join managed on managed.household_id = l.household_id
    cross join lateral (select case when managed.household_id is null then 0 else managed.usd end as usd) m
$$;
create view mart.plan_assets as select * from mart.plan_assets_as_known('infinity');
