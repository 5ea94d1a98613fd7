-- AUM per business date and household; without household, what no household owns. Each row is rounded to cents, so that the sum of all rows may
-- differ by half a cent per row from that of `mart.aum_by_representative` or `mart.aum_by_asset_class`.
create function mart.aum_by_household_as_known(known_at timestamptz)
returns table (business_date date, household_id bigint, household_name text, aum_usd numeric, accounts bigint)
language sql stable as $$
    select p.business_date, p.household_id, h.household_name, round(sum(p.market_value_usd), 2), count(distinct p.account_id)
    from mart.holding_as_known(known_at) p
    left join mart.household_known(known_at) h on h.household_id = p.household_id and mart.is_valid_on(h.covers, p.business_date)
    group by 1, 2, 3
$$;
create view mart.aum_by_household as select * from mart.aum_by_household_as_known('infinity');
