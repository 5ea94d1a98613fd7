-- What the newest sync did not send to Salesforce, by object and cause.
create view control.salesforce_held_back as
select entity as object, cause, subject, records, reason, since, run_id from control.crm_held;
grant select on control.salesforce_held_back to tributary_web;
