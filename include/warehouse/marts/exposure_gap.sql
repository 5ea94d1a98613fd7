-- The accesses that `mart.exposure` can't attribute to clients: one row per action and reason, with the number of records, rows or entries.
create function mart.exposure_gap(of_run text, of_actor text, since timestamptz, until timestamptz)
returns table (action text, records bigint, explanation text)
language sql stable as $$
    with step as materialized (
        select * from control.ledger l
        where l.stage in ('load', 'crm') and l.recorded_at >= since and l.recorded_at < until
          and (of_run is null or l.run_id = of_run) and (of_actor is null or of_actor in (l.run_id, 'run ' || l.run_id))
    ), entry as materialized (
        select * from control.audit a
        where a.happened_at >= since and a.happened_at < until
          and (of_run is null or a.actor in (of_run, 'run ' || of_run))
          and (of_actor is null or of_actor in (a.actor, a.details #>> '{headers,caller}'))
    ), gap(action, records, explanation) as (
        select 'data.loaded', sum(unchanged + superseded + withdrawn),
               'rows that a partial pull received without changing them: only its partitions have their keys'
        from step
        where stage = 'load' and (pulled not in ('current', 'historical') or window_to is not null) and pull_id not like 'withdrawal-%'
        union all
        select 'data.loaded', sum(withdrawn), 'records of a push that was withdrawn: they are listed as changed by the runs that loaded the push'
        from step where stage = 'load' and pull_id like 'withdrawal-%'
        union all
        select 'data.rejected', count(*), 'dead letters whose key can''t be read, or is not that of a known record'
        from control.dead_letter l
        where vendor <> 'salesforce' and died_at >= since and died_at < until
          and (of_run is null or run_id = of_run) and (of_actor is null or of_actor in (run_id, 'run ' || run_id))
          and not exists (select from jsonb_to_recordset(l.describes) as d(entity text, key text)
                          join warehouse.source_key k on k.entity = d.entity and k.vendor = l.vendor and k.source_key = d.key)
        union all
        select 'salesforce.sent', (select sum(sent) from step where stage = 'crm')
                   - (select count(*) from control.crm_state join control.crm_job j using (job_id)
                      where j.run_id in (select run_id from step where stage = 'crm')),
               'records that Salesforce rejected, or that a later sync sent again'
        union all
        select e.action, count(*), 'dead letters that name no record'
        from entry e
        cross join lateral jsonb_array_elements_text(
            case when e.action = 'api.read' and e.subject = 'dead-letters' then e.details -> 'ids'
                 when e.action like 'dead\_letter.%' then jsonb_build_array(e.subject) end) id
        join control.dead_letter l on l.dead_letter_id = id.value::bigint
        where not jsonb_path_exists(l.describes, '$[*].key') group by 1
        union all
        select action, count(*), g.explanation
        from entry
        join (values ('report.opened', 'opened reports of data quality, which may show values of rejected rows'),
                     ('operations.opened', 'opened lists of Operations that show clients: the entries have the filters, not the clients'),
                     ('message.opened', 'opened messages of the inbox, which may show clients'),
                     ('changes.opened', 'opened pages with the first changes to Salesforce'),
                     ('exposure.read', 'uses of this list: repeat them to see who was listed'),
                     ('api.pushed', 'pushes of a program: their rows are in loads of the same time')) g(action, explanation) using (action)
        group by 1, 3
        union all
        select action, sum(coalesce((details ->> 'rows')::bigint, 1)), 'rows that were disposed of since: whose they were can''t be known'
        from control.audit
        where action = 'data.disposed' and happened_at >= since
          and (subject like 'warehouse.%' or subject in ('control.document', 'control.dead_letter', 'control.finding', 'control.crm_job'))
        group by 1
        union all
        select action, count(*), 'persons who were forgotten since: the list can''t show them'
        from control.audit where action = 'person.forgotten' and happened_at >= since group by 1
    )
    select action, records::bigint, explanation from gap where records > 0
$$;
