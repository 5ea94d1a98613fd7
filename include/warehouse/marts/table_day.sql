-- One row per vendor, business date and table: the counts of its newest full pull.
create view control.table_day as
select vendor, business_date, table_name,
       max(run_id) filter (where stage = 'stage') as run_id,
       max(fetched) filter (where stage = 'stage') as fetched,
       max(staged) filter (where stage = 'stage') as staged,
       max(duplicate) filter (where stage = 'stage') as duplicate,
       sum(dead) filter (where stage in ('stage', 'validate'))::bigint as dead,
       sum(inserted) filter (where stage = 'load')::bigint as inserted,
       sum(updated) filter (where stage = 'load')::bigint as updated,
       sum(unchanged) filter (where stage = 'load')::bigint as unchanged,
       sum(withdrawn) filter (where stage = 'load')::bigint as withdrawn,
       max((notes ->> 'money')::numeric) filter (where stage = 'stage' and notes ->> 'money' <> 'None') as money_usd,
       sum(dead_money_usd) filter (where stage in ('stage', 'validate')) as dead_money_usd,
       sum(seconds) as seconds,
       max(extracted_at) filter (where stage = 'stage') as extracted_at,
       max(recorded_at) filter (where stage = 'load') as loaded_at
from (
    select distinct on (vendor, business_date, table_name, entity, stage) * from control.ledger
    where stage <> 'crm' and pulled in ('current', 'historical')
    order by vendor, business_date, table_name, entity, stage, ledger_id desc
) newest
group by vendor, business_date, table_name;
grant select on control.table_day to tributary_web;
