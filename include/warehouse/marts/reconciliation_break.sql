-- The accounts and positions that differ in the results of `control.reconciliation_day`: account totals in dollars, positions in units.
create view control.reconciliation_break as
select c.vendor, c.business_date, c.check_name, a.account_key as item, a.account_key, a.name as account_name, b.expected, b.actual, b.difference,
       case when b.is_explained then 'dead letters' when c.result = 'accepted' then 'accepted' else 'nothing' end as explained_by,
       jsonb_build_object('entity', 'account', 'vendor', c.vendor, 'key', a.account_key, 'on', c.business_date) as lineage
from control.reconciliation_day c
join control.control_total_break b using (run_id, vendor, business_date)
left join warehouse.account a on a.account_id = b.account_id and a.valid_to is null and a.recorded_to is null
where c.check_name = 'control total'
union all
select c.vendor, c.business_date, c.check_name, b.position_key, a.account_key, a.name, b.expected, b.actual, b.difference,
       case when c.result = 'accepted' then 'accepted' when c.breaks <= c.explained then 'dead letters' else 'nothing' end,
       jsonb_build_object('entity', 'position', 'vendor', c.vendor, 'key', b.position_key, 'on', c.business_date)
from control.reconciliation_day c
join control.roll_forward_break b using (run_id, vendor, business_date)
left join warehouse.account a on a.account_id = b.account_id and a.valid_to is null and a.recorded_to is null
where c.check_name = 'roll-forward';
grant select on control.reconciliation_break to tributary_web;
