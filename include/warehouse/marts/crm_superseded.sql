-- Salesforce records that are copies of another record of ours: no longer written, and no longer referenced.
create view control.crm_superseded as
select s.sobject, s.salesforce_id, s.external_key,
       s.parts[1] || ':' || o.vendor || ':' || o.entity || ':' || control.first_key(o.source_key) as stands_for_it
from (select *, string_to_array(external_key, ':') as parts from control.crm_state) s
join warehouse.source_key k on k.vendor = s.parts[2] and k.entity = s.parts[3] and k.source_key = control.current_key(array_to_string(s.parts[4:], ':'))
join warehouse.identity i on i.entity = k.entity and i.id = k.id and i.recorded_to is null
join warehouse.source_key o on o.id = i.identity_id;
