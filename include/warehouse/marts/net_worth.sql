-- Net worth of a household: its share of what the firm manages, on each vendor's latest day, and what is held away. Accounts missing from
-- the vendor's newest pull are left out. If several records describe one account, only one counts: the original, or a copy if the original
-- is missing.
create function mart.net_worth_as_known(known_at timestamptz)
returns table (household_id bigint, household_name text, managed_usd numeric, held_away_usd numeric, net_worth_usd numeric,
               accounts bigint, copies bigint)
language sql stable as $$
    select p.household_id, h.household_name,
           coalesce(round(sum(value_usd) filter (where is_managed and account_id = counted_id), 2), 0),
           coalesce(round(sum(value_usd) filter (where not is_managed and account_id = counted_id), 2), 0),
           coalesce(round(sum(value_usd) filter (where account_id = counted_id), 2), 0),
           count(distinct account_id) filter (where account_id = counted_id), count(distinct account_id) filter (where account_id <> counted_id)
    from mart.net_worth_part(known_at, null) p
    left join mart.household_known(known_at) h on h.household_id = p.household_id and upper_inf(h.covers)
    group by 1, 2
$$;
create view mart.net_worth as select * from mart.net_worth_as_known('infinity');
