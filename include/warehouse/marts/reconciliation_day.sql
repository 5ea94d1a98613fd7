-- The newest result of each check of each vendor and business date, with what Salesforce has accepted of the day and an operator's sign-off.
-- crm_difference: what Salesforce has accepted, less what is due there. sign_off: `signed off`, or `changed since` if a later run found other
-- figures, or a webhook, push or poll changed the day and no check has compared it since.
create view control.reconciliation_day as
select d.*,
       (select t.accepted from control.crm_total t
        where (t.vendor, t.business_date, t.check_name) = (d.vendor, d.business_date, d.check_name)) as crm_accepted,
       (select t.accepted - t.due from control.crm_total t
        where (t.vendor, t.business_date, t.check_name) = (d.vendor, d.business_date, d.check_name)) as crm_difference,
       (select case when s.fingerprint = control.fingerprint_day(d.vendor, d.business_date)
                     and not exists (select from control.uncompared_change c
                                     where c.vendor = d.vendor and c.business_date = d.business_date)
                    then 'signed off' else 'changed since' end
        from (select o.decision, o.fingerprint from control.day_decision o
              where o.vendor = d.vendor and o.business_date = d.business_date and o.decision = 'signed off'
              order by o.decision_id desc limit 1) s) as sign_off
from (
    select distinct on (business_date, vendor, check_name)
           vendor, business_date, check_name,
           case when note <> '' then 'not compared' when accepted_by is not null then 'accepted' when not is_passed then 'failed'
                when breaks > 0 then 'explained' else 'reconciled' end as result,
           expected, actual, actual - expected as difference, breaks, explained, accepted_by, note, run_id, checked_at
    from control.reconciliation
    order by business_date desc, vendor, check_name, checked_at desc
) d;
grant select on control.reconciliation_day to tributary_web;
