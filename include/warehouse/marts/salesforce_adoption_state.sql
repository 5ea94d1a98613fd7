-- What `control.salesforce_adoption` lists, counted, with the approvals in force and the keys that were written.
create view control.salesforce_adoption_state as
with approval as (
    select distinct on (entity) entity, is_approved, approved_by, approved_at from control.adoption_approval order by entity, approval_id desc
), counted as (
    select entity, outcome, count(distinct finding_id) as records from control.salesforce_adoption group by 1, 2
    union all
    select coalesce(r.entity, 'deleted'), case a.state when 'written' then 'adopted' else a.state end, count(*)
    from control.adopted a left join control.org_record r using (sobject, salesforce_id) where a.state <> 'removed' group by 1, 2
)
select c.entity, c.outcome, c.records, case when c.outcome = 'matched' then case a.is_approved when true then 'approved' else 'not approved' end end as approval,
       a.approved_by, a.approved_at
from counted c left join approval a on a.entity = c.entity and c.outcome = 'matched';
grant select on control.salesforce_adoption_state to tributary_web;
