-- Money that came into the firm, or left it, by the vendor's own classification.
create function mart.net_flows_as_known(known_at timestamptz)
returns table (trade_date date, household_id bigint, household_name text, contributions_usd numeric, distributions_usd numeric,
               net_flow_usd numeric)
language sql stable as $$
    select t.trade_date, o.household_id, h.household_name,
           round(sum(t.amount_usd * o.share_ratio) filter (where t.flow = 'contribution'), 2),
           round(sum(t.amount_usd * o.share_ratio) filter (where t.flow = 'distribution'), 2),
           round(sum(t.amount_usd * o.share_ratio), 2)
    from warehouse.transaction t
    join mart.account_known(known_at) a on a.account_id = t.account_id and a.covers @> t.trade_date and a.is_counted
    join mart.account_owner_known(known_at) o on o.account_id = t.account_id and o.covers @> t.trade_date
    left join mart.household_known(known_at) h on h.household_id = o.household_id and h.covers @> t.trade_date
    where t.status = 'posted' and t.flow in ('contribution', 'distribution')
      and t.recorded_from <= known_at and (t.recorded_to is null or t.recorded_to > known_at)
    group by 1, 2, 3
$$;
create view mart.net_flows as select * from mart.net_flows_as_known('infinity');
