-- Money that came into the firm, or left it, by the vendor's own classification. Transactions of a copy of another vendor's account are not
-- counted, except those dated after the last loaded day of that vendor, or after it closed the account or no longer listed it.
create function mart.net_flows_as_known(known_at timestamptz)
returns table (trade_date date, household_id bigint, household_name text, contributions_usd numeric, distributions_usd numeric,
               net_flow_usd numeric)
language sql stable as $$
    with loaded as materialized (
        select vendor, max(business_date) as business_date from control.ledger
        where stage = 'load' and entity = 'transaction' and recorded_at <= known_at group by 1
    ), preferred as materialized (  -- of each copy, the last day whose transactions another record of the account has
        select c.account_id, max(least(l.business_date, a.close_date, n.absent_since - 1)) as until
        from mart.account_copy_known(known_at) c
        join mart.account_known(known_at) a on a.account_id = c.preferred_id and upper_inf(a.covers)
        join warehouse.source_key k on k.id = c.preferred_id
        join loaded l on l.vendor = k.vendor
        left join control.absence n on (n.entity, n.vendor, n.source_key) = (k.entity, k.vendor, k.source_key) and n.noted_at <= known_at
        group by 1
    )
    select t.trade_date, o.household_id, h.household_name,
           round(sum(t.amount_usd * o.share_ratio) filter (where t.flow = 'contribution'), 2),
           round(sum(t.amount_usd * o.share_ratio) filter (where t.flow = 'distribution'), 2),
           round(sum(t.amount_usd * o.share_ratio), 2)
    from warehouse.transaction t
    join mart.account_known(known_at) a on a.account_id = t.account_id and mart.is_valid_on(a.covers, t.trade_date) and a.is_counted
    join mart.account_owner_known(known_at) o on o.account_id = t.account_id and mart.is_valid_on(o.covers, t.trade_date)
    left join mart.household_known(known_at) h on h.household_id = o.household_id and mart.is_valid_on(h.covers, t.trade_date)
    left join preferred p on p.account_id = t.account_id
    where (p.until is null or t.trade_date > p.until) and t.status = 'posted' and t.flow in ('contribution', 'distribution')
      and t.recorded_from <= known_at and (t.recorded_to is null or t.recorded_to > known_at)
    group by 1, 2, 3
$$;
create view mart.net_flows as select * from mart.net_flows_as_known('infinity');
