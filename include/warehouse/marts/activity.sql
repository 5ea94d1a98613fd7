-- What happened, in one timeline: entries of the audit trail, alerts, and rejected days.
create view control.activity as
select happened_at, split_part(action, '.', 1) as kind, actor as who, action, subject from control.audit
union all
select recorded_at, 'alert', dag_id, kind, title from control.alert
union all
select recorded_at, 'rejection', 'run ' || run_id, step, vendor || ' ' || business_date || ': ' || reason from control.rejection;
grant select on control.activity to tributary_web;
