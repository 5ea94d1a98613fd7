-- The newest result of each check of each vendor and business date, without the results of rejected runs, whose rows were not loaded.
create view control.reconciliation_in_force as
select distinct on (vendor, business_date, check_name)
       vendor, business_date, check_name, run_id, breaks, explained, is_passed, accepted_by, note, checked_at,
       coalesce(read_at, checked_at) as read_at
from control.reconciliation r
where is_passed or not exists (select from control.rejection x
                               where (x.run_id, x.vendor, x.business_date) = (r.run_id, r.vendor, r.business_date))
order by vendor, business_date, check_name, checked_at desc;
