-- What happened, in one timeline and in words: entries of the audit trail, alerts, and rejected days.
create view control.activity as
select a.happened_at, split_part(a.action, '.', 1) as kind,
       coalesce(a.details ->> 'vendor', case
           when a.action in ('data.loaded', 'day.accepted', 'day.acceptance_requested', 'day.signed_off', 'day.check_changed', 'difference.declared',
                             'survivorship.changed', 'document.stored', 'document.infected', 'document.hold_changed', 'document.disposed')
               then split_part(a.subject, ' ', 1)
           when a.action in ('api.requested', 'value.opened') then split_part(a.subject, ' ', 2) end) as vendor,
       a.actor as who,
       coalesce(case a.action
           when 'data.loaded' then 'loaded'
           when 'day.accepted' then 'accepted the day'
           when 'day.acceptance_requested' then 'requested to accept the day'
           when 'day.signed_off' then 'signed off the day'
           when 'day.check_changed' then 'changed the check of'
           when 'difference.declared' then 'declared a known difference of the account'
           when 'thresholds.changed' then 'changed the thresholds of the business rules:'
           when 'salesforce.sent' then 'sent to Salesforce:'
           when 'salesforce.approval_requested' then 'requested approval of'
           when 'salesforce.approval_used' then 'used the approval of'
           when 'salesforce.created_again' then 'decided to create again in Salesforce:'
           when 'salesforce.left_to_users' then 'left fields to the users of Salesforce:'
           when 'salesforce.decided' then case when (a.details ->> 'is_approved')::boolean then 'approved' else 'rejected' end
           when 'dead_letter.discarded' then 'discarded dead letter'
           when 'dead_letter.replayed' then 'replayed dead letter'
           when 'dead_letter.reopened' then 'reopened dead letter'
           when 'dead_letter.superseded' then 'replaced dead letter'
           when 'identity.opened' then 'opened in Who is who:'
           when 'identity.decided' then case when (a.details ->> 'is_withdrawn')::boolean then 'undid the decision on'
                                             when (a.details ->> 'is_same')::boolean then 'decided: the same'
                                             else 'decided: not the same' end
           when 'operations.opened' then 'opened the list'
           when 'document.opened' then 'opened the document'
           when 'document.stored' then 'stored the document of'
           when 'document.infected' then 'found malware in the document of'
           when 'document.hold_changed' then 'changed the retention hold of'
           when 'value.opened' then 'opened the sensitive value of'
           when 'value.resealed' then 'sealed all sensitive values again under the key'
           when 'api_key.created' then 'created the API key'
           when 'api_key.changed' then case when a.details ? 'revoked_at' then 'revoked the API key' else 'changed the API key' end
           when 'api.pushed' then 'pushed rows of'
           when 'api.requested' then 'requested'
           when 'api.read' then 'read by the API:'
           when 'subscriber.added' then 'added the subscriber'
           when 'subscriber.changed' then 'set to ' || (a.details ->> 'state') || ' the subscriber'
           when 'airflow.called' then 'changed in Airflow:'
       end, replace(replace(a.action, '.', ' '), '_', ' ')) as action,
       coalesce(case when a.action = 'identity.decided' then (
           select string_agg(r.name || ' (' || r.vendor || ')', ' and ' order by r.id) from control.identity_record r
           where r.entity = split_part(a.subject, ' ', 1)
             and r.id in (abs(split_part(a.subject, ' ', 2)::bigint), abs(split_part(a.subject, ' ', 3)::bigint))) end, a.subject) as subject,
       coalesce(a.details ->> 'reason', a.details ->> 'discard_reason', a.details ->> 'note') as reason
from control.audit a
union all
select recorded_at, 'alert', null, dag_id, 'sent the alert', title, null from control.alert
where sent_at is not null or kind = 'delivered'  -- others were only recorded, such as a rejected input
union all
select recorded_at, 'rejection', vendor, 'run ' || run_id, 'rejected the day in the step ' || step, vendor || ' ' || business_date, reason
from control.rejection;
grant select on control.activity to tributary_web;
