-- The accounts of which the net worth of households consists, each with the value that was in force: the one definition of net worth. If
-- several records describe one account, only one counts (`counted_id`): the original, or a copy if the original is missing, has no value, or
-- is of a vendor that the firm no longer uses. `of_accounts` limits the parts to some accounts, which must include all records of each; null for
-- all accounts.
create function mart.net_worth_part(known_at timestamptz, of_accounts bigint[])
returns table (household_id bigint, account_id bigint, counted_id bigint, is_managed boolean, account_name text, business_date date,
               value_key text, share_ratio numeric, value_usd numeric, recorded_from timestamptz, source_run_id bigint)
language sql stable as $$
    with same as not materialized (
        select entity, id, identity_id from warehouse.identity
        where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    ), unused as (
        select vendor from mart.unused_vendor_known(known_at)
    ), day as (
        select distinct on (vendor) vendor, business_date from control.ledger
        where stage = 'load' and entity = 'account_value' and pulled = 'current' and recorded_at <= known_at
          and (of_accounts is null or vendor = any(array(select k.vendor from warehouse.source_key k where k.id = any(of_accounts))))
        order by vendor, business_date desc, ledger_id desc
    ), value as materialized (
        select v.*, d.vendor in (select vendor from unused) as is_unused from day d
        cross join lateral (
            select business_date, account_id, account_value_key, market_value_usd, recorded_from, source_run_id from warehouse.account_value w
            where w.business_date = d.business_date and w.vendor = d.vendor
              and w.recorded_from <= known_at and (w.recorded_to is null or w.recorded_to > known_at)
              and (of_accounts is null or w.account_id = any(of_accounts))
            offset 0  -- to read the values of that day by their index, not those of all days
        ) v
    ), held as (
        select o.household_id, a.account_id, a.is_counted, true as is_managed, a.account_name, v.business_date, v.account_value_key as value_key,
               o.share_ratio, o.share_ratio * v.market_value_usd as value_usd, v.recorded_from, v.source_run_id, v.is_unused
        from value v
        join mart.account_known(known_at) a on a.account_id = v.account_id and upper_inf(a.covers)
        join mart.account_owner_known(known_at) o on o.account_id = a.account_id and upper_inf(o.covers)
        where of_accounts is null or a.account_id = any(of_accounts) and o.account_id = any(of_accounts)
        union all
        select a.household_id, a.outside_account_id, true, false, a.name, v.requested_on, v.outside_value_key, 1, v.market_value_usd,
               v.recorded_from, v.source_run_id, a.vendor in (select vendor from unused)
        from warehouse.outside_account a
        join lateral (
            select * from warehouse.outside_value w
            where w.outside_account_id = a.outside_account_id
              and w.recorded_from <= known_at and (w.recorded_to is null or w.recorded_to > known_at)
            order by requested_on desc, requested_at desc limit 1
        ) v on true
        where (of_accounts is null or a.outside_account_id = any(of_accounts))
          and a.valid_to is null and a.recorded_from <= known_at and (a.recorded_to is null or a.recorded_to > known_at)
          and not exists (select from mart.absence_known(known_at) n where n.vendor = a.vendor and n.entity = 'outside_account'
                                                          and n.source_key = a.outside_account_key)
    ), counted as (
        select held.*, coalesce(h.identity_id, held.household_id) as home_id,
               first_value(held.account_id) over (partition by coalesce(c.identity_id, held.account_id)
                                                  order by held.value_usd is null, held.is_unused, c.id is not null, not held.is_managed,
                                                           held.account_id) as counted_id
        from held
        left join same h on h.entity = 'household' and h.id = held.household_id
        left join same c on c.entity = 'account' and c.id = held.account_id
    )
    select home_id, account_id, counted_id, is_managed, account_name, business_date, value_key, share_ratio, value_usd, recorded_from, source_run_id
    from counted where is_counted
$$;
