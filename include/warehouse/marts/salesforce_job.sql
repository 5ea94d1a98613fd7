-- The jobs that carry records to Salesforce.
create view control.salesforce_job as
select job_id, created_at, sobject as object, entity, sent_by, rows, state, changed_at, run_id from control.crm_job;
grant select on control.salesforce_job to tributary_web;
