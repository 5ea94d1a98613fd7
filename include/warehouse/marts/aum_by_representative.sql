-- AUM per business date and the representative of the household on that day; without representative, what no household or no representative has.
create function mart.aum_by_representative_as_known(known_at timestamptz)
returns table (business_date date, representative_id bigint, representative_name text, aum_usd numeric, households bigint)
language sql stable as $$
    select p.business_date, h.representative_id, r.representative_name, round(sum(p.market_value_usd), 2),
           count(distinct p.household_id)
    from mart.holding_as_known(known_at) p
    left join mart.household_known(known_at) h on h.household_id = p.household_id and mart.is_valid_on(h.covers, p.business_date)
    left join mart.representative_known(known_at) r
           on r.representative_id = h.representative_id and mart.is_valid_on(r.covers, p.business_date)
    group by 1, 2, 3
$$;
create view mart.aum_by_representative as select * from mart.aum_by_representative_as_known('infinity');
