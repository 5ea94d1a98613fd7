-- The source of the rows of each load: its run, its partition in the staging folder, and the calls to the vendor that the run made for the
-- table. `ledger_id` is the `source_run_id` of the rows. Pushed and replayed rows have no calls.
create view mart.load_source as
select l.ledger_id, l.run_id, l.vendor, l.table_name, l.entity, l.business_date, l.pulled, l.recorded_at as loaded_at,
       format('%s/%s/%s/%s', l.vendor, l.table_name, l.business_date, l.pull_id) as partition, c.calls, c.first_call_at, c.last_call_at, c.paths
from control.ledger l
left join lateral (
    select count(*) as calls, min(called_at) as first_call_at, max(called_at) as last_call_at,
           (array_agg(distinct path order by path))[1:5] as paths
    from control.api_call a
    where a.run_id = l.run_id and a.vendor = l.vendor and a.table_name = l.table_name
) c on true
where l.stage = 'load' and l.vendor <> 'salesforce';
