-- The day in force of each vendor, and the newest later rejection of that day or a later one.
create view mart.day_in_force as
select f.vendor, f.business_date, f.loaded_at, f.run_id, r.business_date as rejected_date, r.recorded_at as rejected_at,
       r.step as rejected_in, r.reason
from (
    select distinct on (vendor) vendor, business_date, recorded_at as loaded_at, run_id from control.ledger
    where stage = 'load' and pulled = 'current' order by vendor, business_date desc, ledger_id desc
) f
left join lateral (
    select * from control.rejection r where r.vendor = f.vendor and r.recorded_at > f.loaded_at
      and r.business_date >= f.business_date
    order by recorded_at desc limit 1
) r on true;
