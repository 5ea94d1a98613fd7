-- Open findings of the business rules, with the household and the advisor.
create view control.open_finding as
select f.finding_id, f.rule, f.severity, array_position(array['critical', 'warning', 'info'], f.severity) as severity_rank, f.vendor, f.business_date_opened, current_date - f.business_date_opened as days_open, h.name as household,
       r.name as advisor, f.details, f.measure,
       jsonb_strip_nulls(jsonb_build_object('record_id', case f.subject_entity when 'deal' then f.household_id else f.subject_id end)) as lineage
from control.finding f
left join warehouse.household h on h.household_id = f.household_id and h.valid_to is null and h.recorded_to is null
left join warehouse.representative r on r.representative_id = f.representative_id and r.valid_to is null and r.recorded_to is null
where f.closed_at is null;
grant select on control.open_finding to tributary_web;
