-- Money that came into the firm, or left it, by the vendor's own classification; without household, that of what no household owns.
-- Contributions are positive and distributions negative; a sum is null if there were none. Transactions of a copy of another vendor's account
-- are not counted on days of which that vendor has the transactions: from its first loaded day, or the first transaction of an account that
-- has copies, until its last loaded day, or the day on which it closed the account or no longer listed it. Transactions of an account that
-- its vendor lists under another key now count: the vendor has them once.
create function mart.net_flows_as_known(known_at timestamptz)
returns table (trade_date date, household_id bigint, household_name text, contributions_usd numeric, distributions_usd numeric,
               net_flow_usd numeric)
language sql stable as $$
    with loaded as materialized (
        select vendor, min(business_date) as first_day, max(business_date) as last_day from control.ledger
        where stage = 'load' and entity = 'transaction' and recorded_at <= known_at group by 1
    ), preferred as materialized (
        select c.account_id, c.preferred_id, k.vendor, l.first_day, least(l.last_day, a.close_date, n.absent_since - 1) as until
        from mart.account_copy_known(known_at) c
        join mart.account_known(known_at) a on a.account_id = c.preferred_id and upper_inf(a.covers)
        join warehouse.source_key k on k.id = c.preferred_id
        join warehouse.source_key o on o.id = c.account_id and o.vendor <> k.vendor
        join loaded l on l.vendor = k.vendor
        left join mart.absence_known(known_at) n on (n.entity, n.vendor, n.source_key) = (k.entity, k.vendor, k.source_key)
    ), begun as materialized (
        select vendor, min(trade_date) as first_trade from warehouse.transaction
        where account_id in (select preferred_id from preferred)
          and recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
        group by 1
    ), covered as materialized (  -- of each copy, the days whose transactions another record of the account has
        select p.account_id, least(p.first_day, b.first_trade) as since, p.until from preferred p left join begun b using (vendor)
    )
    select t.trade_date, o.household_id, h.household_name,
           round(sum(t.amount_usd * o.share_ratio) filter (where t.flow = 'contribution'), 2),
           round(sum(t.amount_usd * o.share_ratio) filter (where t.flow = 'distribution'), 2),
           round(sum(t.amount_usd * o.share_ratio), 2)
    from warehouse.transaction t
    join mart.account_known(known_at) a on a.account_id = t.account_id and mart.is_valid_on(a.covers, t.trade_date) and a.is_counted
    join mart.account_share_known(known_at) o on o.account_id = t.account_id and mart.is_valid_on(o.covers, t.trade_date)
    left join mart.household_known(known_at) h on h.household_id = o.household_id and mart.is_valid_on(h.covers, t.trade_date)
    where not exists (select from covered c where c.account_id = t.account_id and t.trade_date between c.since and c.until)
      and t.status = 'posted' and t.flow in ('contribution', 'distribution')
      and t.recorded_from <= known_at and (t.recorded_to is null or t.recorded_to > known_at)
    group by 1, 2, 3
$$;
create view mart.net_flows as select * from mart.net_flows_as_known('infinity');
