-- What the newest comparison found about the org's records that lack our key, and about ours that the org lacks: one row per candidate. A person
-- who is an account and a contact is listed as the account.
create view control.salesforce_adoption as
select f.finding_id, f.outcome, f.entity, f.sobject as object,
       -- Of a household whose persons are all doubts, the candidates are persons of the org: the decisions on these decide about it, too.
       case when f.salesforce_id <> '' then f.salesforce_id when f.entity <> 'household' then candidate.value ->> 'external_key' end as salesforce_id,
       case when f.salesforce_id = '' then f.external_key else coalesce(candidate.value ->> 'external_key', f.external_key) end as external_key,
       r.name, coalesce(candidate.value ->> 'name', f.our_name) as our_name, r.birth_date, concat_ws(', ', r.street, r.city, r.postal_code) as address, r.changed_at,
       (select string_agg(word, ', ') from jsonb_array_elements_text(candidate.value -> 'agreed') word) as agreed,
       (select string_agg(word, ', ') from jsonb_array_elements_text(candidate.value -> 'differed') word) as differed,
       f.proposal, d.is_same as decided,
       (select string_agg(key || ': ' || coalesce(value ->> 0, '(empty)') || ' -> ' || coalesce(value ->> 1, '(empty)'), '; ' order by key)
        from jsonb_each(f.changes)) as changes
from control.adoption_finding f
left join lateral jsonb_array_elements(f.candidates) candidate on f.outcome not in ('matched', 'unmatched', 'missing')
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
