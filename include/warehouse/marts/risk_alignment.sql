-- The client's risk number against the portfolio's, one row per current portfolio. Both numbers are 1 to 99; null if
-- the vendor no longer states one. `*_measured_on` is the UTC date of our request, `portfolio_analyzed_on` the day of the vendor's analysis, in New York.
create function mart.risk_alignment_as_known(known_at timestamptz)
returns table (person_id bigint, person_name text, household_id bigint, household_name text, representative_id bigint,
               representative_name text, vendor text, portfolio_id bigint, portfolio_name text, client_risk_number bigint,
               client_measured_on date, portfolio_risk_number bigint, portfolio_measured_on date, is_stale boolean,
               market_value_usd numeric, difference bigint, portfolio_analyzed_on date)
language sql stable rows 10000 set enable_nestloop to off as $$
    select o.anchor_id, o.person_name, o.household_id, o.household_name, o.representative_id, o.representative_name, p.vendor,
           p.portfolio_id, p.name, c.risk_number, c.measured_on, r.risk_number, r.measured_on, r.is_stale, r.market_value_usd,
           r.risk_number - c.risk_number, (r.analyzed_at at time zone 'America/New_York')::date
    from warehouse.portfolio p
    join mart.person_as_one(known_at) o on o.person_id = p.person_id
    left join lateral (
        select * from warehouse.client_risk n
        where n.person_id = p.person_id and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
        order by n.measured_on desc, n.measured_at desc limit 1
    ) c on true
    left join lateral (
        select * from warehouse.portfolio_risk n
        where n.portfolio_id = p.portfolio_id and n.recorded_from <= known_at and (n.recorded_to is null or n.recorded_to > known_at)
        order by n.measured_on desc, n.measured_at desc limit 1
    ) r on true
    where p.valid_to is null and p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
      and p.portfolio_type = 'current' and p.is_deleted is not true
      and not exists (select from mart.absence_known(known_at) a where a.vendor = p.vendor and a.entity = 'portfolio'
                                                      and a.source_key = p.portfolio_key)
$$;
create view mart.risk_alignment as select * from mart.risk_alignment_as_known('infinity');
