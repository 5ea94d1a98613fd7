-- What the newest comparison found about the org's records that lack our key, and about ours that the org lacks: one row per candidate, with both
-- records as users compare them. A person who is an account and a contact is listed as the account.
create view control.salesforce_adoption as
select f.finding_id, f.outcome, f.entity,
       -- Of a household whose persons are all doubts, the candidates are persons of the org: the decisions on these also decide about it.
       case when f.salesforce_id <> '' then f.salesforce_id when f.entity <> 'household' then candidate.value ->> 'external_key' end as salesforce_id,
       case when f.salesforce_id = '' then f.external_key else coalesce(candidate.value ->> 'external_key', f.external_key) end as external_key,
       concat_ws(', ', r.name, 'born ' || r.birth_date, r.street, r.city, r.postal_code, r.phone, r.email, 'xxxx' || r.number_last4,
                 'opened ' || coalesce(r.payload ->> 'FinServ__OpenDate__c', r.payload ->> 'OpeningDate', r.payload ->> 'Open_Date__c')) as theirs,
       coalesce(candidate.value ->> 'ours', f.ours) as ours,
       (select string_agg(word, ', ') from jsonb_array_elements_text(candidate.value -> 'agreed') word) as agreed,
       (select string_agg(word, ', ') from jsonb_array_elements_text(candidate.value -> 'differed') word) as differed,
       case d.is_same when true then 'same' when false then 'not the same' end as decided,
       coalesce(nullif(f.proposal, ''), (
           select string_agg(key || ': ' || coalesce(value ->> 0, '(empty)') || ' -> ' || coalesce(value ->> 1, '(empty)'), '; ' order by key)
           from jsonb_each(f.changes))) as next_step
from control.adoption_finding f
left join lateral jsonb_array_elements(f.candidates) candidate
     on f.outcome in ('doubtful', 'duplicate', 'shared') or f.outcome = 'matched' and candidate.value ->> 'external_key' = f.external_key
left join control.org_record r
     on r.salesforce_id = case when f.salesforce_id = '' then candidate.value ->> 'external_key' else f.salesforce_id end
left join lateral (
    select is_same from control.adoption_decision a
    where a.salesforce_id = case when f.salesforce_id = '' then candidate.value ->> 'external_key' else f.salesforce_id end
      and a.external_key = case when f.salesforce_id = '' then f.external_key else candidate.value ->> 'external_key' end
    order by decision_id desc limit 1) d on true
where f.entity <> 'contact' or f.salesforce_id <> '' and not exists (
    select from control.org_record a where a.sobject = 'Account' and a.entity = 'person' and a.salesforce_id = r.links ->> 'Account');
grant select on control.salesforce_adoption to tributary_web;
