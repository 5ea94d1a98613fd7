-- Which record of Salesforce belongs to which record of ours, without its content.
create view control.salesforce_record as
select sobject, external_key, salesforce_id from control.crm_state;
grant select on control.salesforce_record to tributary_web;
