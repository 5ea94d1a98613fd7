-- What analysts ask for, as views over the present state of knowledge; each also "as known at" a time, as a function.
-- A description holds from the first day that we saw it; for days before that, its first version stands in.

create schema mart;

create function mart.account_known(known_at timestamptz)
returns table (account_id bigint, account_name text, account_type text, custodian text, status text, representative_id bigint,
               open_date date, close_date date, is_counted boolean, covers daterange)
language sql stable as $$
    select account_id, name, account_type, custodian, status, representative_id, open_date, close_date, is_counted,
           daterange(case when valid_from > min(valid_from) over (partition by account_id) then valid_from end, valid_to)
    from warehouse.account
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;

create function mart.account_owner_known(known_at timestamptz)
returns table (account_id bigint, household_id bigint, person_id bigint, share_ratio numeric, covers daterange)
language sql stable as $$
    select account_id, household_id, person_id, share_ratio,
           daterange(case when valid_from > min(valid_from) over (partition by account_id) then valid_from end, valid_to)
    from warehouse.account_owner
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;

create function mart.household_known(known_at timestamptz)
returns table (household_id bigint, household_name text, representative_id bigint, covers daterange)
language sql stable as $$
    select household_id, name, representative_id,
           daterange(case when valid_from > min(valid_from) over (partition by household_id) then valid_from end, valid_to)
    from warehouse.household
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;

create function mart.security_known(known_at timestamptz)
returns table (security_id bigint, security_name text, ticker text, asset_class text, covers daterange)
language sql stable as $$
    select security_id, name, ticker, asset_class,
           daterange(case when valid_from > min(valid_from) over (partition by security_id) then valid_from end, valid_to)
    from warehouse.security
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;

create function mart.representative_known(known_at timestamptz)
returns table (representative_id bigint, representative_name text, covers daterange)
language sql stable as $$
    select representative_id, name,
           daterange(case when valid_from > min(valid_from) over (partition by representative_id) then valid_from end, valid_to)
    from warehouse.representative
    where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
$$;

-- One row per position and owner, with the owner's share: the one place where AUM is defined. An account that is also
-- shown as its sleeves does not count.
create function mart.holding_as_known(known_at timestamptz)
returns table (business_date date, vendor text, position_key text, account_id bigint, security_id bigint, household_id bigint,
               quantity numeric, market_value_usd numeric, currency_code char(3))
language sql stable as $$
    select p.business_date, p.vendor, p.position_key, p.account_id, p.security_id, o.household_id,
           p.quantity * o.share_ratio, p.market_value_usd * o.share_ratio, p.currency_code
    from warehouse.position p
    join mart.account_known(known_at) a on a.account_id = p.account_id and a.covers @> p.business_date and a.is_counted
    join mart.account_owner_known(known_at) o on o.account_id = p.account_id and o.covers @> p.business_date
    where p.recorded_from <= known_at and (p.recorded_to is null or p.recorded_to > known_at)
$$;

create function mart.aum_by_household_as_known(known_at timestamptz)
returns table (business_date date, household_id bigint, household_name text, aum_usd numeric, accounts bigint)
language sql stable as $$
    select p.business_date, p.household_id, h.household_name, round(sum(p.market_value_usd), 2), count(distinct p.account_id)
    from mart.holding_as_known(known_at) p
    left join mart.household_known(known_at) h on h.household_id = p.household_id and h.covers @> p.business_date
    group by 1, 2, 3
$$;

create function mart.aum_by_representative_as_known(known_at timestamptz)
returns table (business_date date, representative_id bigint, representative_name text, aum_usd numeric, households bigint)
language sql stable as $$
    select p.business_date, h.representative_id, r.representative_name, round(sum(p.market_value_usd), 2),
           count(distinct p.household_id)
    from mart.holding_as_known(known_at) p
    left join mart.household_known(known_at) h on h.household_id = p.household_id and h.covers @> p.business_date
    left join mart.representative_known(known_at) r
           on r.representative_id = h.representative_id and r.covers @> p.business_date
    group by 1, 2, 3
$$;

create function mart.aum_by_asset_class_as_known(known_at timestamptz)
returns table (business_date date, asset_class text, aum_usd numeric, positions bigint)
language sql stable as $$
    select p.business_date, s.asset_class, round(sum(p.market_value_usd), 2), count(*)
    from mart.holding_as_known(known_at) p
    left join mart.security_known(known_at) s on s.security_id = p.security_id and s.covers @> p.business_date
    group by 1, 2
$$;

-- Money that came from, or went to, outside the firm, as the vendor classifies it.
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

create function mart.openings_and_closings_as_known(known_at timestamptz)
returns table (day date, opened bigint, closed bigint)
language sql stable as $$
    select day, count(*) filter (where what = 'opened'), count(*) filter (where what = 'closed')
    from (
        select open_date as day, 'opened' as what from mart.account_known(known_at) where upper_inf(covers)
        union all
        select close_date, 'closed' from mart.account_known(known_at) where upper_inf(covers)
    ) e
    where day is not null
    group by 1
$$;

create view mart.aum_by_household       as select * from mart.aum_by_household_as_known('infinity');
create view mart.aum_by_representative  as select * from mart.aum_by_representative_as_known('infinity');
create view mart.aum_by_asset_class     as select * from mart.aum_by_asset_class_as_known('infinity');
create view mart.net_flows              as select * from mart.net_flows_as_known('infinity');
create view mart.openings_and_closings  as select * from mart.openings_and_closings_as_known('infinity');

-- How fresh each table is: the last business date loaded, and when.
create function mart.freshness_as_known(known_at timestamptz)
returns table (vendor text, table_name text, business_date date, loaded_at timestamptz, run_id text)
language sql stable as $$
    select distinct on (vendor, table_name) vendor, table_name, business_date, recorded_at, run_id
    from control.ledger
    where stage = 'load' and recorded_at <= known_at
    order by vendor, table_name, business_date desc, recorded_at desc
$$;
create view mart.freshness as select * from mart.freshness_as_known('infinity');

grant usage on schema mart to tributary_load, tributary_read;
grant select on all tables in schema mart to tributary_load, tributary_read;
grant execute on all functions in schema mart to tributary_load, tributary_read;
