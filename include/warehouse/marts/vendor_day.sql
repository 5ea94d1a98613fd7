-- One row per vendor and business date: the counts of each table's newest full pull, what is missing, and the result of the reconciliation.
-- Pushes, webhooks and pulls of single clients do not count.
-- state: `loaded`; `incomplete` (loaded, with open dead letters); `rejected` (the newest run was rejected; a load before it stays in force);
-- `not loaded` (pulled only).
-- reconciliation: `reconciled`; `explained` (it differs, and open dead letters account for it); `accepted` (by an operator, though it
-- differs); `failed`; `changed since` (a webhook, push or poll changed its money after the last check); `not compared` (the vendor states
-- no totals). control_total_off_usd: warehouse less vendor; null if not compared.
create view control.vendor_day as
with fact as (
    select vendor, business_date, stage as kind, run_id, table_name, recorded_at as happened_at, staged as rows,
           inserted + updated + withdrawn as rows_changed, null::text as text, 0::bigint as breaks, 0::bigint as explained, null::numeric as off_usd,
           null::numeric as money_usd, false as is_unreadable
    from (
        select distinct on (vendor, business_date, table_name, entity, stage) * from control.ledger
        where stage in ('stage', 'load') and pulled in ('current', 'historical') and vendor <> 'salesforce'
        order by vendor, business_date, table_name, entity, stage, ledger_id desc
    ) newest
    union all
    select vendor, business_date, 'dead letter', run_id, table_name, died_at, 0, 0, null, 0, 0, null, money_usd, is_money_unreadable
    from control.dead_letter where status = 'open' and vendor <> 'salesforce'
    union all
    select vendor, business_date, 'rejection', run_id, null, recorded_at, 0, 0, reason, 0, 0, null, null, false from control.rejection
    union all
    select vendor, business_date, 'check', run_id, check_name, checked_at, 0, 0,
           case when note <> '' then 'not compared' when accepted_by is not null then 'accepted' when not is_passed then 'failed'
                when breaks > 0 then 'explained' when check_name in ('control total', 'roll-forward') then 'reconciled' end,
           breaks, explained, case when check_name = 'control total' and note = '' then actual - expected end, null, false
    from (
        select distinct on (vendor, business_date, check_name) * from control.reconciliation
        order by vendor, business_date, check_name, checked_at desc
    ) newest
), day as (
    select vendor, business_date,
           (array_agg(run_id order by happened_at desc) filter (where kind in ('stage', 'load')))[1] as run_id,
           count(*) filter (where kind = 'stage') as tables_pulled,
           coalesce(array_agg(distinct table_name) filter (where kind = 'load'), '{}') as loaded_tables,
           coalesce(sum(rows) filter (where kind = 'stage'), 0)::bigint as rows,
           coalesce(sum(rows_changed) filter (where kind = 'load'), 0)::bigint as rows_changed,
           count(*) filter (where kind = 'dead letter') as dead_letters,
           coalesce(sum(abs(money_usd)) filter (where kind = 'dead letter'), 0) as dead_money_usd,
           count(*) filter (where kind = 'dead letter' and is_unreadable) as dead_money_unreadable,
           max(happened_at) filter (where kind = 'stage') as pulled_at,
           max(happened_at) filter (where kind = 'load') as loaded_at,
           max(happened_at) filter (where kind = 'rejection') as rejected_at,
           (array_agg(text order by happened_at desc) filter (where kind = 'rejection'))[1] as rejected_because,
           array_agg(text) filter (where kind = 'check') as verdicts,
           coalesce(sum(breaks), 0)::bigint as breaks, coalesce(sum(explained), 0)::bigint as explained, sum(off_usd) as control_total_off_usd
    from fact group by vendor, business_date
)
select vendor, business_date,
       case when rejected_at > coalesce(loaded_at, '-infinity') then 'rejected' when loaded_at is null then 'not loaded'
            when dead_letters > 0 then 'incomplete' else 'loaded' end as state,
       case when 'failed' = any(verdicts) then 'failed'
            when verdicts && array['accepted', 'explained', 'reconciled'] and exists (
                select from control.uncompared_change c
                where (c.vendor, c.business_date) = (day.vendor, day.business_date)) then 'changed since'
            when 'accepted' = any(verdicts) then 'accepted'
            when 'explained' = any(verdicts) then 'explained' when 'reconciled' = any(verdicts) then 'reconciled'
            else 'not compared' end as reconciliation,
       run_id, tables_pulled, loaded_tables, rows, rows_changed, dead_letters, dead_money_usd, dead_money_unreadable, pulled_at, loaded_at,
       rejected_at, rejected_because, breaks, explained, control_total_off_usd
from day;
grant select on control.vendor_day to tributary_web, tributary_api;
