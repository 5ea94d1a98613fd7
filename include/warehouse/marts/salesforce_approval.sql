-- The requests to approve a large change of Salesforce, with their decisions. state: `open`; `expired` (there was no decision within a day,
-- and the next sync requests it again); `approved`; `sent` (the approved change was sent); `rejected`. approval_run: the run of the DAG
-- `approve_salesforce` that asks for the decision.
create view control.salesforce_approval as
select question_id, requested_at, entity as object, wording, records, run_id, decided_by, decided_at, reason,
       case when is_approved is null then case when requested_at > now() - interval '1 day' then 'open' else 'expired' end
            when not is_approved then 'rejected' when used_by is not null then 'sent' else 'approved' end as state,
       'questions_' || string_agg(question_id::text, '_') over (partition by run_id order by question_id
                                                                rows between unbounded preceding and unbounded following) as approval_run
from control.crm_question;
grant select on control.salesforce_approval to tributary_web;
