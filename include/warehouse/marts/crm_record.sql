-- The current fields of each Salesforce record, merged from its changes.
create view warehouse.crm_record as
select object, salesforce_id,
       warehouse.fold(fields order by committed_at, commit_number, sequence_number, change_id) as fields,
       (array_agg(case change_type when 'DELETE' then true when 'REREAD' then (fields ->> 'IsDeleted')::boolean else false end
                  order by committed_at desc, commit_number desc, sequence_number desc, change_id desc))[1] as is_deleted,
       max(committed_at) as changed_at
from warehouse.crm_change
where change_type <> 'EVENT'
group by 1, 2;
