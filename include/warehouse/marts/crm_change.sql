-- Changes of accounts and contacts, with our key where we sync the record.
create view mart.crm_change as
select c.object, c.salesforce_id, s.external_key, c.change_type, c.changed, c.nulled, c.fields, c.committed_at, c.commit_user,
       c.origin, c.recorded_at
from warehouse.crm_change c
left join control.crm_state s on s.sobject = c.object and s.salesforce_id = c.salesforce_id
where c.change_type <> 'EVENT';
