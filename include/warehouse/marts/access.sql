-- The records that a run, an actor, or anyone in a period has read or changed: one row per action and version of a record. If `of_run` or
-- `of_actor` is null, all runs or actors count. `data_kinds` are the kinds of data that the action touched. The sources are:
-- - Loads: the ledger. A pull of a whole table counts as a read of every record that was known; a version that it wrote counts as a change.
-- - Salesforce: the records that no later sync has sent again.
-- - People and programs: the records that entries of the audit trail name.
-- `mart.exposure_gap` lists the accesses that this function can't attribute to records.
create function mart.access(of_run text, of_actor text, since timestamptz, until timestamptz)
returns table (how text, action text, happened_at timestamptz, entity text, vendor text, source_key text, valid daterange, person_id bigint,
               household_id bigint, account_id bigint, envelope_key text, data_kinds text[], legal_entity_id bigint)
language sql stable set enable_nestloop to off as $$
    with step as materialized (
        select * from control.ledger l
        where l.stage in ('load', 'crm') and l.recorded_at >= since and l.recorded_at < until
          and (of_run is null or l.run_id = of_run) and (of_actor is null or of_actor in (l.run_id, 'run ' || l.run_id))
    ), whole as materialized (  -- for a snapshot, the records of this day
        select vendor, entity, business_date, min(extracted_at) as first_at, max(recorded_at) as last_at from step
        where stage = 'load' and pulled in ('current', 'historical') and window_to is null and unchanged + superseded + withdrawn > 0
        group by 1, 2, 3
    ), entry as materialized (
        select * from control.audit a
        where a.happened_at >= since and a.happened_at < until
          and (of_run is null or a.actor in (of_run, 'run ' || of_run)) and (of_actor is null or of_actor in (a.actor, a.details #>> '{headers,caller}'))
    ), dead_letter_access as (
        select case action when 'api.read' then 'read' else 'changed' end as how, action, happened_at, id.value::bigint as dead_letter_id
        from entry cross join lateral jsonb_array_elements_text(
            case when action = 'api.read' and subject = 'dead-letters' then details -> 'ids'
                 when action like 'dead\_letter.%' then jsonb_build_array(subject) end) id
        union all
        select 'read', 'data.rejected', died_at, dead_letter_id from control.dead_letter
        where vendor <> 'salesforce' and died_at >= since and died_at < until
          and (of_run is null or run_id = of_run) and (of_actor is null or of_actor in (run_id, 'run ' || run_id))
    ), sent as (
        select 'salesforce.sent' as action, s.recorded_at as happened_at, split_part(c.external_key, ':', 2) as vendor,
               split_part(c.external_key, ':', 3) as entity, control.current_key(regexp_replace(c.external_key, '^([^:]*:){3}', '')) as source_key
        from (select run_id, max(recorded_at) as recorded_at from step where stage = 'crm' group by 1) s
        join control.crm_job j on j.run_id = s.run_id
        join control.crm_state c on c.job_id = j.job_id
    ), found as (
        select 'read' as how, action, happened_at, id.value::bigint as finding_id
        from entry cross join lateral jsonb_array_elements_text(details -> 'ids') id
        where action = 'api.read' and subject = 'findings'
        union all
        select 'changed', action, happened_at, source_key::bigint from sent where entity = 'finding'
    ), by_id as (
        select 'read' as how, action, happened_at, split_part(record.value, ' ', 2)::bigint as id, null::text[] as data_kinds
        from entry cross join lateral jsonb_array_elements_text(details -> 'records') record where action = 'identity.opened'
        union all
        select 'changed', action, happened_at, id::bigint, array['identity']
        from entry cross join lateral unnest((string_to_array(subject, ' '))[2:3]) id where action = 'identity.decided'
        union all
        select f.how, f.action, f.happened_at, id, array['findings']
        from found f join control.finding c using (finding_id) cross join lateral unnest(array[c.subject_id, c.household_id]) id
        where c.subject_entity <> 'deal' or id = c.household_id
    ), named as (
        select n.how, n.action, n.happened_at, k.entity, k.vendor, k.source_key, n.data_kinds
        from by_id n join warehouse.source_key k using (id)
        union all
        select n.how, n.action, n.happened_at, d.entity, l.vendor, d.key, array['rejected rows']
        from dead_letter_access n join control.dead_letter l using (dead_letter_id)
        cross join lateral jsonb_to_recordset(l.describes) as d(entity text, key text)
        union all
        select 'changed', action, happened_at, entity, vendor, source_key, null from sent
        union all
        select 'read', action, happened_at, 'envelope', d.vendor, d.envelope_key, array['signed documents']
        from entry join control.document d on d.content_hash = subject where action = 'document.opened'
        union all
        select 'changed', action, happened_at, 'envelope', d.vendor, d.envelope_key, array['signed documents']
        from entry join control.document d on concat_ws(' ', d.vendor, d.envelope_key, d.kind) = subject
        where action in ('document.stored', 'document.hold_changed')
        union all
        select 'read', action, happened_at, split_part(subject, ' ', 1), split_part(subject, ' ', 2),
               regexp_replace(subject, '^\S+ \S+ ', ''), null
        from entry where action = 'as_of.read' and subject <> 'firm'
        union all
        select 'read', action, happened_at, details ->> 'entity', r.vendor, r.key,
               array[replace(details ->> 'name', '_', ' ') || ' (in clear)']
        from entry cross join lateral jsonb_to_recordset(details -> 'records') as r(vendor text, key text) where action = 'value.opened'
    )
    select t.how, t.action, t.happened_at, t.entity, t.vendor, t.source_key, t.valid, t.person_id, t.household_id, t.account_id, t.envelope_key,
           t.data_kinds, t.legal_entity_id
    from (
        select 'changed' as how, 'data.loaded' as action, s.recorded_at as happened_at, v.entity, v.vendor, v.source_key, v.valid, v.person_id,
               v.household_id, v.account_id, v.envelope_key, v.data_kinds, v.legal_entity_id
        from step s join mart.record_version v on v.source_run_id = s.ledger_id and v.entity = s.entity where s.stage = 'load'
        union all
        select 'read', 'data.loaded', w.last_at, v.entity, v.vendor, v.source_key, v.valid, v.person_id, v.household_id, v.account_id,
               v.envelope_key, v.data_kinds, v.legal_entity_id
        from whole w join mart.record_version v on v.vendor = w.vendor and v.entity = w.entity and v.recorded_from <= w.last_at
             and (v.recorded_to is null or v.recorded_to > w.first_at) and (v.id is not null or v.valid @> w.business_date)
        union all
        select n.how, n.action, n.happened_at, v.entity, v.vendor, v.source_key, v.valid, v.person_id, v.household_id, v.account_id,
               v.envelope_key, case when v.data_kinds <> '{}' then coalesce(n.data_kinds, v.data_kinds) else '{}' end, v.legal_entity_id
        from named n join mart.record_version v on v.entity = n.entity and v.vendor = n.vendor and v.source_key = n.source_key
             and v.recorded_from <= n.happened_at and (v.recorded_to is null or v.recorded_to > n.happened_at)
    ) t
    where t.data_kinds <> '{}'
$$;
