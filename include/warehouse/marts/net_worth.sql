-- Net worth of a household: its share of what the firm manages, on each vendor's latest day, and what is held away. Accounts missing from
-- the vendor's newest pull are left out. If several records describe one account, only one counts: the original, or a copy if the original
-- is missing.
create function mart.net_worth_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, managed_usd numeric, held_away_usd numeric, net_worth_usd numeric,
               accounts bigint, copies bigint)
language sql stable as $$
    with same as (
        select entity, id, identity_id from warehouse.identity
        where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    ), day as (
        select distinct on (vendor) vendor, business_date from control.ledger
        where stage = 'load' and entity = 'account_value' and pulled = 'current' and recorded_at <= known_at
        order by vendor, business_date desc, ledger_id desc
    ), held as (
        select o.household_id, a.account_id, a.is_counted, true as is_managed, o.share_ratio * v.market_value_usd as value_usd
        from day d
        join warehouse.account_value v on v.business_date = d.business_date and v.vendor = d.vendor
             and v.recorded_from <= known_at and (v.recorded_to is null or v.recorded_to > known_at)
        join mart.account_known(known_at) a on a.account_id = v.account_id and upper_inf(a.covers)
        join mart.account_owner_known(known_at) o on o.account_id = a.account_id and upper_inf(o.covers)
        union all
        select a.household_id, a.outside_account_id, true, false, v.market_value_usd
        from warehouse.outside_account a
        join lateral (
            select market_value_usd from warehouse.outside_value w
            where w.outside_account_id = a.outside_account_id
              and w.recorded_from <= known_at and (w.recorded_to is null or w.recorded_to > known_at)
            order by requested_on desc, requested_at desc limit 1
        ) v on true
        where a.valid_to is null and a.recorded_from <= known_at and (a.recorded_to is null or a.recorded_to > known_at)
          and not exists (select from control.absence n where n.vendor = a.vendor and n.entity = 'outside_account'
                                                          and n.source_key = a.outside_account_key and n.noted_at <= known_at)
    ), counted as (
        select coalesce(h.identity_id, held.household_id) as household_id, held.account_id, held.is_counted, held.is_managed,
               held.value_usd,
               rank() over (partition by coalesce(c.identity_id, held.account_id)
                            order by c.id is not null, not held.is_managed, held.account_id) > 1 as is_copy
        from held
        left join same h on h.entity = 'household' and h.id = held.household_id
        left join same c on c.entity = 'account' and c.id = held.account_id
    )
    select c.household_id, h.household_name,
           coalesce(round(sum(value_usd) filter (where is_managed and not is_copy), 2), 0),
           coalesce(round(sum(value_usd) filter (where not is_managed and not is_copy), 2), 0),
           coalesce(round(sum(value_usd) filter (where not is_copy), 2), 0),
           count(distinct account_id) filter (where not is_copy), count(distinct account_id) filter (where is_copy)
    from counted c
    left join mart.household_known(known_at) h on h.household_id = c.household_id and upper_inf(h.covers)
    where c.is_counted
    group by 1, 2
$$;
create view mart.net_worth as select * from mart.net_worth_as_known('infinity');
