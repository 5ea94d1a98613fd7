-- Events to subscribers. The database writes each event itself, in the transaction of the change that it reports: none is false, and none
-- is missing. Events hold ids, counts, keys and dates; no names, no details of a finding, no content.

create table control.outbox (
    event_number bigint      generated always as identity primary key,   -- in the order of what happened to one subject
    event_id     uuid        not null default gen_random_uuid() unique,  -- identifies it to subscribers
    type         text        not null,
    vendor       text        not null,
    subject      text        not null,           -- events of one subject arrive in their order
    occurred_at  timestamptz not null default clock_timestamp(),
    data         jsonb       not null check (jsonb_typeof(data) = 'object'),
    routed_at    timestamptz                     -- when its deliveries were created; null while it is pending
);
create index outbox_waiting on control.outbox (event_number) where routed_at is null;
create index outbox_by_time on control.outbox (occurred_at);

create table control.outbound_subscriber (
    subscriber    text        primary key,
    state         text        not null check (state in ('active', 'disabled', 'unreadable', 'removed')),
    reason        text        not null default '',      -- why it is not active
    types         text[]      not null,                 -- of events, by its configuration as last read
    vendors       text[]      not null,                 -- empty: all
    first_seen_at timestamptz not null,
    failures      int         not null default 0,       -- in a row
    failing_since timestamptz,
    paused_until  timestamptz,                          -- it is down, or requested a pause
    alerted_at       timestamptz                           -- when the alert was sent that it is not active
);

create table control.outbound_delivery (
    subscriber    text        not null references control.outbound_subscriber,
    event_number  bigint      not null references control.outbox,
    subject       text        not null,
    status        text        not null default 'waiting' check (status in ('waiting', 'delivered', 'dead')),
    tries         int         not null default 0,
    due_at        timestamptz not null,
    tried_at      timestamptz,
    last_status   int,                                  -- of HTTP; null without a response
    last_error    text,
    alerted_at       timestamptz,                          -- when the alert was sent that it is dead
    primary key (subscriber, event_number)
);
create index outbound_delivery_due on control.outbound_delivery (subscriber, due_at, event_number) where status = 'waiting';
create index outbound_delivery_order on control.outbound_delivery (subscriber, subject, event_number) where status = 'waiting';
create index outbound_delivery_dead on control.outbound_delivery (subscriber) where status = 'dead' and alerted_at is null;

-- Tasks send events and can't create, change or delete any.
revoke insert, update, delete on control.outbox from tributary_load;
grant update (routed_at) on control.outbox to tributary_load;

-- The functions below write as the schema's owner, for the role that writes what they report.

-- Notify only for an event that an active subscriber wants.
create function control.notify_outbox() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if exists (select from made e join control.outbound_subscriber s
               on s.state = 'active' and e.type = any(s.types) and (cardinality(s.vendors) = 0 or e.vendor = any(s.vendors))) then
        perform pg_notify('tributary_outbox', '');
    end if;
    return null;
end
$$;
create trigger notify after insert on control.outbox referencing new table as made
    for each statement execute function control.notify_outbox();

create function control.enqueue_loads() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into control.outbox (type, vendor, subject, data)
    select 'tributary.load.committed', vendor, concat_ws('/', vendor, table_name, business_date),
           jsonb_build_object('vendor', vendor, 'table', table_name, 'entity', entity, 'business_date', business_date,
                              'ledger_id', ledger_id, 'run_id', run_id, 'pulled', pulled, 'produced', produced,
                              'inserted', inserted, 'updated', updated, 'unchanged', unchanged, 'superseded', superseded,
                              'withdrawn', withdrawn, 'dead', dead, 'money_usd', money_out::text)
    from made where stage = 'load' order by ledger_id;
    return null;
end
$$;
create trigger outbox after insert on control.ledger referencing new table as made
    for each statement execute function control.enqueue_loads();

-- One event per statement and partition, however many dead letters, with the twenty most frequent reasons.
create function control.enqueue_dead_letters() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into control.outbox (type, vendor, subject, data)
    select 'tributary.dead_letter.made', vendor, concat_ws('/', vendor, table_name, business_date),
           jsonb_build_object('vendor', vendor, 'table', table_name, 'business_date', business_date, 'stage', stage,
                              'run_id', run_id, 'partition', partition, 'count', letters, 'reasons', (
               select coalesce(jsonb_object_agg(reason, times), '{}') from (
                   select reason, count(*) as times
                   from made m cross join lateral (select distinct reason from unnest(m.public_reasons) as reason) why
                   where (m.vendor, m.table_name, m.business_date, m.stage, m.run_id, m.partition)
                       = (l.vendor, l.table_name, l.business_date, l.stage, l.run_id, l.partition)
                   group by reason order by times desc, reason limit 20
               ) commonest))
    from (
        select vendor, table_name, business_date, stage, run_id, partition,
               min(dead_letter_id) as first_id, count(*) as letters
        from made group by 1, 2, 3, 4, 5, 6
    ) l order by first_id;
    return null;
end
$$;
create trigger outbox after insert on control.dead_letter referencing new table as made
    for each statement execute function control.enqueue_dead_letters();

create function control.enqueue_lateness() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
begin
    insert into control.outbox (type, vendor, subject, data)
    select 'tributary.deadline.missed', vendor, concat_ws('/', vendor, table_name, business_date),
           jsonb_build_object('vendor', vendor, 'table', table_name, 'business_date', business_date, 'stage', stage,
                              'due_at', due_at)
    from made order by due_at, table_name;
    return null;
end
$$;
create trigger outbox after insert on control.lateness referencing new table as made
    for each statement execute function control.enqueue_lateness();

-- A finding's subject is its cause, so that one is closed before the next with the same cause is opened.
create function control.finding_event(f control.finding, verb text)
returns table (type text, vendor text, subject text, data jsonb)
language sql stable as $$
    select 'tributary.finding.' || verb, f.vendor, concat_ws('/', f.vendor, f.rule, f.subject_entity, f.subject_id),
           jsonb_build_object('vendor', f.vendor, 'finding_id', f.finding_id, 'rule', f.rule, 'severity', f.severity,
                              'subject_entity', f.subject_entity, 'subject_id', f.subject_id, 'household_id', f.household_id,
                              'representative_id', f.representative_id, 'business_date_opened', f.business_date_opened,
                              'business_date_closed', f.business_date_closed)
$$;

create function control.enqueue_opened_findings() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into control.outbox (type, vendor, subject, data)
    select e.* from made m cross join lateral control.finding_event(row(m.*)::control.finding, 'opened') e
    where m.closed_at is null order by m.finding_id;
    return null;
end
$$;
create trigger outbox_opened after insert on control.finding referencing new table as made
    for each statement execute function control.enqueue_opened_findings();

-- Per row: a trigger per statement would keep the old and new version of every finding that is seen again each day, for nothing.
create function control.enqueue_closed_finding() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into control.outbox (type, vendor, subject, data) select * from control.finding_event(new, 'closed');
    return null;
end
$$;
create trigger outbox_closed after update of closed_at on control.finding
    for each row when (old.closed_at is null and new.closed_at is not null) execute function control.enqueue_closed_finding();

-- An envelope becomes completed if its previous state was another. An envelope without a previous state is reported only if it was
-- completed within the last week: a first load of old envelopes creates no events.
create function control.enqueue_completed_envelopes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC' as $$
begin
    insert into control.outbox (type, vendor, subject, data)
    select 'tributary.envelope.completed', m.vendor, concat_ws('/', m.vendor, 'envelope', m.envelope_key),
           jsonb_build_object('vendor', m.vendor, 'envelope_key', m.envelope_key, 'sent_at', m.sent_at,
                              'completed_at', m.completed_at, 'ledger_id', m.source_run_id)
    from made m
    left join lateral (
        select o.status from warehouse.envelope o
        where o.vendor = m.vendor and o.envelope_key = m.envelope_key and o.recorded_to is not null
        order by o.recorded_to desc, o.recorded_from desc limit 1
    ) before on true
    where m.status = 'completed' and m.recorded_to is null
      and case when before.status is null then m.completed_at > now() - interval '7 days'
          else before.status <> 'completed' end
    order by m.completed_at, m.envelope_key;
    return null;
end
$$;
create trigger outbox after insert on warehouse.envelope referencing new table as made
    for each statement execute function control.enqueue_completed_envelopes();

revoke all on function control.notify_outbox(), control.enqueue_loads(), control.enqueue_dead_letters(), control.enqueue_lateness(),
    control.enqueue_opened_findings(), control.enqueue_closed_finding(), control.enqueue_completed_envelopes(), control.finding_event(control.finding, text) from public;
