-- The newest result of each check of each vendor and business date.
create view control.reconciliation_day as
select distinct on (business_date, vendor, check_name)
       vendor, business_date, check_name,
       case when note <> '' then 'not compared' when accepted_by is not null then 'accepted' when not is_passed then 'failed'
            when breaks > 0 then 'explained' else 'reconciled' end as result,
       expected, actual, actual - expected as difference, breaks, explained, accepted_by, note, run_id, checked_at
from control.reconciliation
order by business_date desc, vendor, check_name, checked_at desc;
grant select on control.reconciliation_day to tributary_web;
