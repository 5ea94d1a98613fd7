-- Retention and disposal. The loading role deletes no records; `control.dispose` does, and only what this file allows.

-- Tables whose rows are disposed of. `include.retention.datasets` declares the periods; here is what no setting and no task can override.
create table control.retention (
    dataset      text        primary key,         -- a table, with its schema
    aged_by      text        not null,            -- SQL of a row `t`: when its period begins; null: it has not begun
    spared       text        not null default 'false',  -- SQL of a row `t`: whether it stays, however old it is
    minimum      interval    not null             -- the shortest period that a firm may set
);
comment on table control.retention is 'Which rows control.dispose may dispose of, and after which time at the earliest';
revoke insert, update, delete on control.retention from tributary_load;

alter table control.document add column disposed_at timestamptz;
comment on column control.document.disposed_at is 'When its retention ended; the file is deleted after this time. The row stays, so that the document is not downloaded again';

drop trigger audit_held on control.document;
create trigger audit_held after update on control.document for each row
    when ((old.held_for, old.held_by, old.held_at, old.retain_until) is distinct from (new.held_for, new.held_by, new.held_at, new.retain_until))
    execute function control.audit_row('document.hold_changed', 'held_by', 'vendor envelope_key kind',
        'content_hash retain_until held_for held_by held_at');
create trigger audit_disposed after update on control.document for each row when (old.disposed_at is distinct from new.disposed_at)
    execute function control.audit_row('document.disposed', '', 'vendor envelope_key kind', 'content_hash retain_until disposed_at');

insert into control.retention (dataset, aged_by, spared, minimum) values
    ('control.alert', 't.recorded_at', 'false', '30 days'),
    ('control.answer', 't.answered_at', 'false', '2 days'),
    ('control.api_call', 't.called_at', 'false', '14 days'),
    ('control.control_total_break', 't.business_date', 'false', '6 years'),
    ('control.crm_difference', 't.found_at', 'false', '30 days'),
    ('control.crm_sent', '(select j.changed_at from control.crm_job j where j.job_id = t.job_id and j.state not in (''open'', ''uploaded''))',
     'exists (select from control.dead_letter l where l.status = ''open'' and l.partition = ''salesforce/'' || t.job_id and l.row_key = t.external_key)',
     '30 days'),
    ('control.crm_job', 't.changed_at',
     't.state in (''open'', ''uploaded'') or exists (select from control.crm_sent s where s.job_id = t.job_id)', '30 days'),
    -- A rejection counts until the difference changes, so the newest decision on each question stays.
    ('control.crm_question', 't.requested_at',
     'not exists (select from control.crm_question n where (n.entity, n.question) = (t.entity, t.question) and n.question_id > t.question_id)',
     '6 years'),
    ('control.dead_letter', 't.closed_at', 't.status = ''open''', '30 days'),
    ('control.document', 't.retain_until + 1', 't.held_for is not null or t.disposed_at is not null', '0 days'),
    ('control.document_try', 't.tried_at', 'false', '30 days'),
    ('control.finding', 't.closed_at', 'false', '6 years'),
    ('control.idempotency', 't.answered_at', 'false', '2 days'),
    ('control.identity_run', 't.ended_at', 'not exists (select from control.identity_run n where n.ended_at > t.ended_at)', '30 days'),
    -- A withdrawal needs its push.
    ('control.inbox', 't.processed_at',
     't.sender like ''push.%'' and exists (select from control.inbox w where w.event_id = t.event_id and w.sender like ''withdraw.%''
          and w.processed_at is null)', '30 days'),
    ('control.known_answer', 't.requested_at', 'false', '2 days'),
    ('control.lateness', 't.alerted_at', 'false', '30 days'),
    ('control.outage', 't.over_at', 'false', '30 days'),
    ('control.outbound_delivery', 'coalesce(t.tried_at, t.due_at)', 't.status = ''waiting''', '30 days'),
    ('control.outbox', 't.routed_at', 'exists (select from control.outbound_delivery d where d.event_number = t.event_number)', '30 days'),
    ('control.reconciliation', 't.checked_at',
     'not exists (select from control.reconciliation n where n.vendor = t.vendor and n.checked_at > t.checked_at)', '6 years'),
    ('control.rejection', 't.recorded_at', 'false', '6 years'),
    ('control.request', 't.ended_at', 'false', '30 days'),
    ('control.roll_forward_break', 't.business_date', 'false', '6 years'),
    -- Months of positions are dropped whole, so their period begins with the end of the month.
    ('warehouse.position', 'greatest(date_trunc(''month'', t.business_date) + interval ''1 month'', t.recorded_from)', 'false', '6 years'),
    ('warehouse.account_value', 'greatest(t.business_date, t.recorded_from)', 'false', '6 years'),
    ('warehouse.transaction', 'greatest(t.trade_date, t.recorded_from)', 'false', '6 years'),
    -- While a client, plan or account exists, its newest result stays: it describes the present, however old it is.
    ('warehouse.plan_result', 'greatest(t.computed_on, t.recorded_from)',
     't.recorded_to is null and exists (select from warehouse.plan p where p.plan_id = t.plan_id) and not exists (
          select from warehouse.plan_result n where n.plan_id = t.plan_id and n.scenario is not distinct from t.scenario
             and n.recorded_to is null and n.computed_on > t.computed_on)', '6 years'),
    ('warehouse.goal_result', 'greatest(t.computed_on, t.recorded_from)',
     't.recorded_to is null and exists (select from warehouse.goal p where p.goal_id = t.goal_id) and not exists (
          select from warehouse.goal_result n where n.goal_id = t.goal_id and n.scenario is not distinct from t.scenario
             and n.recorded_to is null and n.computed_on > t.computed_on)', '6 years'),
    ('warehouse.outside_value', 'greatest(t.requested_on, t.recorded_from)',
     't.recorded_to is null and exists (select from warehouse.outside_account p where p.outside_account_id = t.outside_account_id)
          and not exists (select from warehouse.outside_value n where n.outside_account_id = t.outside_account_id
             and n.recorded_to is null and n.requested_on > t.requested_on)', '6 years'),
    ('warehouse.client_risk', 'greatest(t.measured_on, t.recorded_from)',
     't.recorded_to is null and exists (select from warehouse.person p where p.person_id = t.person_id) and not exists (
          select from warehouse.client_risk n where n.person_id = t.person_id and n.recorded_to is null and n.measured_on > t.measured_on)',
     '6 years'),
    ('warehouse.portfolio_risk', 'greatest(t.measured_on, t.recorded_from)',
     't.recorded_to is null and exists (select from warehouse.portfolio p where p.portfolio_id = t.portfolio_id) and not exists (
          select from warehouse.portfolio_risk n where n.portfolio_id = t.portfolio_id and n.recorded_to is null
             and n.measured_on > t.measured_on)', '6 years'),
    -- An envelope stays as long as one of its documents, so that a retention hold on these also keeps the envelope.
    ('warehouse.envelope', 'greatest(t.ended_at, t.completed_at, t.changed_at, t.created_at, t.recorded_from)',
     'not t.is_final or exists (select from control.document d
                                where (d.vendor, d.envelope_key) = (t.vendor, t.envelope_key) and d.disposed_at is null)', '6 years'),
    ('warehouse.envelope_recipient', 'greatest(t.changed_at, t.recorded_from)',
     'exists (select from warehouse.envelope e where (e.vendor, e.envelope_key) = (t.vendor, t.envelope_key))', '6 years'),
    ('warehouse.envelope_event', 'greatest(t.happened_at, t.recorded_from)',
     'exists (select from warehouse.envelope e where (e.vendor, e.envelope_key) = (t.vendor, t.envelope_key))', '6 years'),
    ('warehouse.identity', 't.recorded_to', 'false', '6 years'),
    -- The current state of a record is merged from all of its changes, so they go when Salesforce has deleted the record.
    ('warehouse.crm_change',
     'case when t.change_type = ''EVENT'' then t.committed_at else (
          select max(d.committed_at) from warehouse.crm_change d where (d.object, d.salesforce_id) = (t.object, t.salesforce_id)
          having max(d.committed_at) = max(d.committed_at) filter (where d.change_type = ''DELETE'')) end', 'false', '6 years');

-- Descriptions: versions that were replaced, and all versions of a record that the vendor no longer has. A version that was true in the
-- past and is known until today stays, because facts of its days refer to it.
insert into control.retention (dataset, aged_by, minimum)
select 'warehouse.' || entity,
       format('coalesce(t.recorded_to, (select a.absent_since from control.absence a where a.entity = %L and a.vendor = t.vendor and a.source_key = t.%I))',
              entity, entity || '_key'), '6 years'
from unnest(array['representative', 'household', 'person', 'registration', 'account', 'security', 'plan', 'goal', 'outside_account',
                  'insurance_policy', 'portfolio', 'questionnaire', 'template']) entity;
insert into control.retention (dataset, aged_by, minimum) values
    ('warehouse.account_owner', 'coalesce(t.recorded_to, (select a.absent_since from control.absence a join warehouse.source_key k
         on (k.entity, k.vendor, k.source_key) = (a.entity, a.vendor, a.source_key) where k.entity = ''account'' and k.id = t.account_id))', '6 years');

-- Months of positions that ended before a time, and in which nothing was recorded after it; the oldest first.
create function control.find_expired_months(cutoff timestamptz) returns setof regclass
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
    part regclass;
    is_old boolean;
begin
    for part in select i.inhrelid::regclass from pg_inherits i join pg_class c on c.oid = i.inhrelid
                where i.inhparent = 'warehouse.position'::regclass
                  and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' < cutoff order by c.relname loop
        execute format('select not exists (select from %s where recorded_from >= $1)', part) into is_old using cutoff;
        if is_old then return next part; end if;
    end loop;
end $$;
revoke all on function control.find_expired_months(timestamptz) from public;

-- The query of the rows that are due for disposal: ctid as `place`, and `aged`.
create function control.select_expired(of_dataset text, kept_for interval) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
declare
    rule control.retention;
    cutoff timestamptz := now() - kept_for;
    months text := '';
begin
    select * into rule from control.retention where dataset = of_dataset;
    if not found then
        raise exception 'Nothing of % is disposed of', of_dataset using errcode = 'insufficient_privilege';
    end if;
    if cutoff > now() - rule.minimum then
        raise exception '% is retained for at least %', of_dataset, rule.minimum using errcode = 'insufficient_privilege';
    end if;
    if of_dataset = 'warehouse.position' then
        select format(' and t.business_date < %L and t.tableoid = any(%L::oid[])', cutoff::date, array_agg(part::oid)) into months
        from control.find_expired_months(cutoff) part;
    end if;
    return format('select t.ctid as place, (%s)::timestamptz as aged, pg_column_size(t.*) as size from %s t
                   where (%s)::timestamptz < %L and (%s) is not true%s', rule.aged_by, rule.dataset, rule.aged_by, cutoff, rule.spared, months);
end $$;
revoke all on function control.select_expired(text, interval) from public;

-- What is due for disposal, without disposing of it.
create function control.measure_expired(of_dataset text, kept_for interval, out row_count bigint, out oldest timestamptz, out newest timestamptz,
                                        out byte_count bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
begin
    execute format('select count(*), min(aged), max(aged), coalesce(sum(size), 0) from (%s) e', control.select_expired(of_dataset, kept_for))
    into row_count, oldest, newest, byte_count;
end $$;
revoke all on function control.measure_expired(text, interval) from public;

-- Dispose of one batch, and record it in the audit trail, in one transaction. A batch of positions is a month. A document's row stays.
create function control.dispose(of_run text, of_dataset text, kept_for interval, batch int, out row_count bigint, out oldest timestamptz,
                                out newest timestamptz, out byte_count bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' set lock_timeout = '5s' as $$
declare
    expired text := control.select_expired(of_dataset, kept_for);
    month   text;
    verb    text := case of_dataset when 'control.document' then 'update control.document set disposed_at = clock_timestamp()'
                    else 'delete from ' || of_dataset end;
begin
    if of_dataset = 'warehouse.position' then
        select part::text into month from control.find_expired_months(now() - kept_for) part limit 1;
        if month is not null then
            execute format('select count(*), coalesce(min(business_date), to_date(right(%L, 7), ''YYYY_MM'')), max(business_date),
                                   pg_total_relation_size(%L) from %s', month, month, month)
            into row_count, oldest, newest, byte_count;
            execute format('drop table %s', month);
        end if;
    else
        execute format('with expired as materialized (%s limit %s for update of t skip locked),
                             done as (%s where ctid = any(array(select place from expired)))
                        select count(*), min(aged), max(aged), coalesce(sum(size), 0) from expired', expired, batch, verb)
        into row_count, oldest, newest, byte_count;
    end if;
    row_count := coalesce(row_count, 0);
    if month is not null or row_count > 0 then
        insert into control.audit (happened_at, database_user, actor, action, subject, details)
        values (clock_timestamp(), session_user, 'run ' || left(of_run, 190), 'data.disposed', of_dataset,
                jsonb_build_object('rows', row_count, 'bytes', byte_count, 'oldest', oldest, 'newest', newest, 'kept_for', kept_for,
                                   'month', month));
    end if;
end $$;
revoke all on function control.dispose(text, text, interval, int) from public;

-- Record the files that a run disposed of. The database does not see the files, so the entry has what the task reports.
create function control.record_disposed_files(of_run text, of_dataset text, of_details jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    insert into control.audit (happened_at, database_user, actor, action, subject, details)
    values (clock_timestamp(), session_user, 'run ' || left(of_run, 190), 'files.disposed', left(of_dataset, 200), of_details);
end;
revoke all on function control.record_disposed_files(text, text, jsonb) from public;
grant execute on function control.measure_expired(text, interval), control.dispose(text, text, interval, int),
    control.record_disposed_files(text, text, jsonb) to tributary_load;
