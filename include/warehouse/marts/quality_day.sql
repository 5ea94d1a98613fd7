-- One row per vendor, table and business date with rows or dead letters: the result of the newest full pull, and the open dead letters of
-- all pulls. For `salesforce`, the table is the object, and the counts are those of all syncs of the day.
-- state: `day stopped` (a check on this table stopped the day); `rows rejected` (some rows are dead letters that are open, the others are
-- loaded); `accepted` (a check on the table failed, and an operator accepted this); `resolved` (rows were rejected, and none of their dead
-- letters is open); `not loaded` (the run did not load the pull: it is not complete, or another check stopped the day); `not validated`;
-- `passed`.
create view control.quality_day as
with fact as (
    select vendor, business_date, table_name, stage as kind, run_id, pull_id, staged, dead, recorded_at as happened_at
    from (
        select distinct on (vendor, business_date, table_name, entity, stage)
               vendor, business_date, table_name, stage, run_id, pull_id, staged, dead, recorded_at
        from control.ledger
        where stage in ('stage', 'validate', 'load') and pulled in ('current', 'historical') and vendor <> 'salesforce'
        order by vendor, business_date, table_name, entity, stage, ledger_id desc
    ) newest
    union all
    select vendor, business_date, table_name, 'sync', run_id, null, sent, failed, recorded_at from control.ledger where stage = 'crm' and vendor = 'salesforce'
    union all
    select vendor, business_date, table_name, 'open', null, null, 0, 1, null from control.dead_letter where status = 'open'
    union all
    select vendor, business_date, table_name, case when is_accepted then 'accepted' else 'failed' end, run_id, pull_id, 0, 0, null
    from control.validation where not is_passed and level = 'batch'
), newest as (
    select vendor, business_date, table_name,
           (array_agg(run_id order by happened_at desc) filter (where kind in ('stage', 'sync')))[1] as run_id,
           max(pull_id) filter (where kind = 'stage') as pull_id,
           coalesce(sum(staged) filter (where kind in ('stage', 'sync')), 0)::bigint as rows,
           coalesce(sum(dead) filter (where kind in ('stage', 'validate', 'sync')), 0)::bigint as rejected,
           count(*) filter (where kind = 'open') as open,
           max(pull_id) filter (where kind = 'validate') as validated_pull,
           array_agg(pull_id) filter (where kind = 'failed') as failed_pulls,
           array_agg(pull_id) filter (where kind = 'accepted') as accepted_pulls,
           max(run_id) filter (where kind = 'load') as load_run,
           max(happened_at) filter (where kind in ('load', 'sync')) as loaded_at
    from fact group by vendor, business_date, table_name
), day as (
    -- A table may be loaded through another one.
    select *, array_agg(load_run) over (partition by vendor, business_date) as load_runs from newest
)
select vendor, business_date, table_name,
       case when pull_id = any(failed_pulls) then 'day stopped'
            when pull_id is not null and (run_id = any(load_runs)) is not true then 'not loaded'
            when open > 0 then 'rows rejected'
            when pull_id = any(accepted_pulls) then 'accepted'
            when rejected > 0 then 'resolved'
            when pull_id <> validated_pull or pull_id is not null and validated_pull is null then 'not validated'
            else 'passed' end as state,
       run_id, pull_id, rows, rejected, open, loaded_at
from day;
grant select on control.quality_day to tributary_web;
