-- Every version of every record, for queries about one record or one run. `valid` is the range of days on which the version is true: for a
-- snapshot, its business date; for an event, all days. `household_id`, `person_id`, `legal_entity_id`, `account_id` and `envelope_key`
-- identify the clients that the record is about, and `data_kinds` are the kinds of client data in it. Versions that were closed in the transaction that wrote them are left
-- out, because they were never known.
create view mart.record_version as
select entity, vendor, source_key, id, valid, recorded_from, recorded_to, source_run_id, household_id, person_id, account_id, envelope_key,
       data_kinds, legal_entity_id, stored - array['vendor', entity || '_key', entity || '_id', 'business_date', 'valid_from', 'valid_to', 'is_past_only',
                                  'recorded_from', 'recorded_to', 'source_run_id'] as fields
from (
    select 'representative', t.vendor, t.representative_key, t.representative_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, null::bigint, null::bigint, null::bigint, null::text, '{}'::text[], to_jsonb(t), null::bigint
    from warehouse.representative t
    union all
    select 'household', t.vendor, t.household_key, t.household_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, null, null, null,
           array_remove(array[case when num_nonnulls(t.name, t.salutation) > 0 then 'name' end,
                               case when num_nonnulls(t.street, t.city, t.state_code, t.postal_code, t.country, t.email,
                                                      t.phone) > 0 then 'contact details' end], null),
           to_jsonb(t), null
    from warehouse.household t
    union all
    select 'person', t.vendor, t.person_key, t.person_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, t.person_id, null, null,
           array_remove(array[case when num_nonnulls(t.name, t.first_name, t.last_name) > 0 then 'name' end,
                               case when num_nonnulls(t.street, t.city, t.state_code, t.postal_code, t.email, t.phone) > 0 then 'contact details' end,
                               case when num_nonnulls(t.birth_date) > 0 then 'birth date' end,
                               case when num_nonnulls(t.gender) > 0 then 'gender' end,
                               case when num_nonnulls(t.tax_id_hash, t.tax_id_last4) > 0 then 'tax id (hash, last four digits)' end], null),
           to_jsonb(t), null
    from warehouse.person t
    union all
    select 'legal_entity', t.vendor, t.legal_entity_key, t.legal_entity_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, null, null, null,
           array_remove(array[case when num_nonnulls(t.name) > 0 then 'name' end,
                               case when num_nonnulls(t.tax_id_hash, t.tax_id_last4) > 0 then 'tax id (hash, last four digits)' end], null),
           to_jsonb(t), t.legal_entity_id
    from warehouse.legal_entity t
    union all
    select 'registration', t.vendor, t.registration_key, t.registration_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, t.person_id, null, null, array['accounts'], to_jsonb(t), null
    from warehouse.registration t
    union all
    select 'registration_party', t.vendor, t.registration_party_key, t.registration_party_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id,
           (select min(r.household_id) from warehouse.registration r where r.registration_id = t.registration_id),
           t.person_id, null, null, array['accounts', 'name'], to_jsonb(t), t.legal_entity_id
    from warehouse.registration_party t
    union all
    select 'account', t.vendor, t.account_key, t.account_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, null, t.account_id, null,
           array_remove(array['accounts',
                               case when num_nonnulls(t.account_number_hash, t.account_number_last4) > 0
                              then 'account number (hash, last four digits)' end], null),
           to_jsonb(t), null
    from warehouse.account t
    union all
    select 'account_owner', t.vendor, t.account_owner_key, t.account_owner_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, t.person_id, t.account_id, null, array['accounts'], to_jsonb(t), t.legal_entity_id
    from warehouse.account_owner t
    union all
    select 'security', t.vendor, t.security_key, t.security_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, null, null, null, null, '{}', to_jsonb(t), null
    from warehouse.security t
    union all
    select 'account_value', t.vendor, t.account_value_key, null, daterange(t.business_date, t.business_date, '[]'),
           t.recorded_from, t.recorded_to, t.source_run_id, null, null, t.account_id, null, array['balances and holdings'], to_jsonb(t), null
    from warehouse.account_value t
    union all
    select 'position', t.vendor, t.position_key, null, daterange(t.business_date, t.business_date, '[]'),
           t.recorded_from, t.recorded_to, t.source_run_id, null, null, t.account_id, null, array['balances and holdings'], to_jsonb(t), null
    from warehouse.position t
    union all
    select 'transaction', t.vendor, t.transaction_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id, null, null, t.account_id, null, array['transactions'], to_jsonb(t), null
    from warehouse.transaction t
    union all
    select 'plan', t.vendor, t.plan_key, t.plan_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, null, null, null, array['financial plan'], to_jsonb(t), null
    from warehouse.plan t
    union all
    select 'goal', t.vendor, t.goal_key, t.goal_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, null, null, null, array['financial plan'], to_jsonb(t), null
    from warehouse.goal t
    union all
    select 'plan_result', t.vendor, t.plan_result_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, null, null, null, array['financial plan'], to_jsonb(t), null
    from warehouse.plan_result t
    union all
    select 'goal_result', t.vendor, t.goal_result_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id,
           (select min(g.household_id) from warehouse.goal g where g.goal_id = t.goal_id),
           null, null, null, array['financial plan'], to_jsonb(t), null
    from warehouse.goal_result t
    union all
    select 'outside_account', t.vendor, t.outside_account_key, t.outside_account_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, null, null, null,
           array_remove(array['accounts',
                               case when num_nonnulls(t.account_number_hash, t.account_number_last4) > 0
                              then 'account number (hash, last four digits)' end], null),
           to_jsonb(t), null
    from warehouse.outside_account t
    union all
    select 'outside_value', t.vendor, t.outside_value_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id,
           (select min(o.household_id) from warehouse.outside_account o where o.outside_account_id = t.outside_account_id),
           null, null, null, array['balances and holdings'], to_jsonb(t), null
    from warehouse.outside_value t
    union all
    select 'insurance_policy', t.vendor, t.insurance_policy_key, t.insurance_policy_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, t.household_id, null, null, null, array['insurance'], to_jsonb(t), null
    from warehouse.insurance_policy t
    union all
    select 'portfolio', t.vendor, t.portfolio_key, t.portfolio_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, null, t.person_id, null, null, array['risk profile'], to_jsonb(t), null
    from warehouse.portfolio t
    union all
    select 'questionnaire', t.vendor, t.questionnaire_key, t.questionnaire_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, null, t.person_id, null, null, array['risk profile'], to_jsonb(t), null
    from warehouse.questionnaire t
    union all
    select 'client_risk', t.vendor, t.client_risk_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id, null, t.person_id, null, null, array['risk profile'], to_jsonb(t), null
    from warehouse.client_risk t
    union all
    select 'portfolio_risk', t.vendor, t.portfolio_risk_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id, null,
           (select min(p.person_id) from warehouse.portfolio p where p.portfolio_id = t.portfolio_id),
           null, null, array['risk profile'], to_jsonb(t), null
    from warehouse.portfolio_risk t
    union all
    select 'template', t.vendor, t.template_key, t.template_id, daterange(t.valid_from, t.valid_to),
           t.recorded_from, t.recorded_to, t.source_run_id, null, null, null, null, '{}', to_jsonb(t), null
    from warehouse.template t
    union all
    select 'envelope', t.vendor, t.envelope_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id, null, null, null, t.envelope_key, array['signed documents'], to_jsonb(t), null
    from warehouse.envelope t
    union all
    select 'envelope_recipient', t.vendor, t.envelope_recipient_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id, null, null, null, t.envelope_key,
           array_remove(array['signed documents',
                               case when num_nonnulls(t.name) > 0 then 'name' end,
                               case when num_nonnulls(t.email) > 0 then 'contact details' end], null),
           to_jsonb(t), null
    from warehouse.envelope_recipient t
    union all
    select 'envelope_event', t.vendor, t.envelope_event_key, null, '(,)',
           t.recorded_from, t.recorded_to, t.source_run_id, null, null, null, t.envelope_key,
           array_remove(array['signed documents',
                               case when num_nonnulls(t.actor_name) > 0 then 'name' end,
                               case when num_nonnulls(t.actor_email) > 0 then 'contact details' end], null),
           to_jsonb(t), null
    from warehouse.envelope_event t
) v (entity, vendor, source_key, id, valid, recorded_from, recorded_to, source_run_id, household_id, person_id, account_id, envelope_key,
     data_kinds, stored, legal_entity_id)
where recorded_from is distinct from recorded_to;
