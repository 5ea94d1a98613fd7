-- Net worth of a household: its share of what the firm manages, on each vendor's latest day, and what is held away. Accounts missing from
-- the vendor's newest pull are left out. If several records describe one account, only one counts: see `mart.net_worth_part`. The money of
-- `accounts_without_value` is missing from the sums; a sum is null if none of its accounts has a value.
create function mart.net_worth_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, managed_usd numeric, held_away_usd numeric, net_worth_usd numeric,
               accounts bigint, copies bigint, accounts_without_value bigint)
language sql stable as $$
    select p.household_id, h.household_name,
           case when bool_or(is_managed and is_one) then round(sum(value_usd) filter (where is_managed and is_one), 2) else 0 end,
           case when bool_or(not is_managed and is_one) then round(sum(value_usd) filter (where not is_managed and is_one), 2) else 0 end,
           case when bool_or(is_one) then round(sum(value_usd) filter (where is_one), 2) else 0 end,
           count(distinct account_id) filter (where is_one), count(distinct account_id) filter (where not is_one),
           count(distinct account_id) filter (where is_one and value_usd is null)
    from (select *, account_id = counted_id as is_one from mart.net_worth_part(known_at, null)) p
    left join mart.household_as_one(known_at) h on h.household_id = p.household_id
    group by 1, 2
$$;
create view mart.net_worth as select * from mart.net_worth_as_known('infinity');
