-- The vendors whose newest day may not be sent to Salesforce: it is not completely loaded, a check of it failed, or a push changed its
-- positions or account values after the last check. A vendor that the firm no longer uses is settled. is_off: a check failed. since: when this began.
create view control.unsettled_vendor as
with newest as (
    select distinct on (vendor) vendor, business_date, run_id from control.ledger
    where stage = 'load' and pulled = 'current' and vendor not in (select vendor from control.unused_vendor)
    order by vendor, business_date desc, ledger_id desc
), state as (
    select n.*, (select min(recorded_at) from control.ledger l
                 where l.vendor = n.vendor and l.run_id = n.run_id and l.stage = 'load') as loaded_at,
           exists (select from control.reconciliation r
                   where (r.vendor, r.business_date, r.run_id) = (n.vendor, n.business_date, n.run_id)) as is_checked,
           (select min(case when r.run_id <> n.run_id then checked_at else '-infinity' end) from control.reconciliation_in_force r
            where (r.vendor, r.business_date) = (n.vendor, n.business_date) and not r.is_passed) as failed_at,
           (select max(changed_at) from control.uncompared_change c
            where (c.vendor, c.business_date) = (n.vendor, n.business_date) and c.entity in ('position', 'account_value')) as changed_at
    from newest n
)
select vendor, business_date, greatest(loaded_at, case when is_checked then coalesce(failed_at, changed_at) end) as since,
       failed_at is not null as is_off
from state where not is_checked or failed_at is not null or changed_at is not null;
