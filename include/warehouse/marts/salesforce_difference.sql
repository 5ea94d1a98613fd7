-- The records that differ from the state that Salesforce accepted, as the newest drift check found each, with the name of the record.
create view control.salesforce_difference as
select d.difference_id, d.found_at, d.sobject as object, d.kind, d.external_key, d.salesforce_id, d.master_id,
       array_to_string(d.fields, ', ') as fields,
       coalesce(s.payload ->> 'Name', nullif(concat_ws(' ', s.payload ->> 'FirstName', s.payload ->> 'LastName'), ''), d.external_key) as name,
       case when d.kind in ('deleted', 'merged') then
                case when s.external_key is null then 'the next sync creates it again' when s.missing is null then 'created again'
                     else 'not sent any more' end
            when d.kind = 'remade' then 'created again'
            when d.kind in ('unknown', 'other id') then 'adopted'
            when s.left_fields @> d.fields then 'left to Salesforce'
            when s.accepted_at > d.found_at then 'overwritten by a sync'
            else 'the next sync overwrites it' end as outcome
from (
    select distinct on (sobject, external_key) * from control.crm_difference order by sobject, external_key, difference_id desc
) d
left join control.crm_state s on s.sobject = d.sobject and s.external_key = d.external_key;
grant select on control.salesforce_difference to tributary_web;
