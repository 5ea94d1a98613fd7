-- Money that a webhook, push or poll changed and that no reconciliation has compared since: per vendor and entity, the business date at
-- which it arrived and the days of its rows.
-- A check of the day compares it. A transaction is compared by the roll-forward of its day or of any later day, which includes
-- transactions that arrived late. No check compares values of outside accounts, so they are never listed.
create view control.uncompared_change as
select vendor, entity, business_date, max(changed_at) as changed_at
from (
    select l.vendor, l.entity, d.day as business_date, l.recorded_at as changed_at
    from control.ledger l
    cross join lateral (select l.business_date union select cast(day as date) from jsonb_array_elements_text(l.notes -> 'days') as day) as d(day)
    where l.stage = 'load' and l.pulled = 'pushed' and l.inserted + l.updated + l.withdrawn > 0
      and l.entity in ('position', 'account_value', 'transaction')
) c
where not exists (
    select from control.reconciliation_in_force r
    where r.vendor = c.vendor and r.note = '' and r.read_at > c.changed_at
      and case c.entity when 'transaction' then r.check_name = 'roll-forward' and r.business_date >= c.business_date
                        else r.check_name in ('control total', 'roll-forward') and r.business_date = c.business_date end)
group by vendor, entity, business_date;
grant select on control.uncompared_change to tributary_web;
