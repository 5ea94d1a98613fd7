-- What was sent to be signed. An envelope is an event with a life: one open row a key, a newer state closes the one before.

create table warehouse.template (
    template_id   bigint not null,
    vendor        text not null,
    template_key  text collate "C" not null,
    name          text,
    purpose       text,
    valid_from    date not null,
    valid_to      date,
    recorded_from timestamptz not null,
    recorded_to   timestamptz,
    source_run_id bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(template_id, template_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index template_key_open on warehouse.template (vendor, template_key) where recorded_to is null;

create table warehouse.envelope (
    vendor              text not null,
    envelope_key        text collate "C" not null,
    subject             text,
    purpose             text,
    status              text not null check (status in ('draft', 'sent', 'delivered', 'completed', 'declined', 'voided', 'expired',
                                                        'deleted', 'other')),
    is_final            boolean not null,
    reason              text,
    sender_name         text,
    sender_email        text,
    household_reference text,
    created_on          date,
    created_at          timestamptz,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    completed_at        timestamptz,
    ended_at            timestamptz,
    expires_at          timestamptz,
    reopened_at         timestamptz,
    changed_at          timestamptz,
    recorded_from       timestamptz not null,
    recorded_to         timestamptz,
    source_run_id       bigint not null,
    check (recorded_from <= recorded_to)
);
create unique index envelope_open on warehouse.envelope (vendor, envelope_key) where recorded_to is null;
create index envelope_waiting on warehouse.envelope (sent_at) where recorded_to is null and not is_final;

create table warehouse.envelope_recipient (
    vendor                 text not null,
    envelope_recipient_key text collate "C" not null,
    envelope_key           text collate "C" not null,
    role                   text,
    routing_order          bigint,
    name                   text,
    email                  text,
    status                 text,
    reason                 text,
    sent_at                timestamptz,
    delivered_at           timestamptz,
    signed_at              timestamptz,
    declined_at            timestamptz,
    is_final               boolean not null,
    reopened_at            timestamptz,
    created_on             date,
    changed_at             timestamptz,
    recorded_from          timestamptz not null,
    recorded_to            timestamptz,
    source_run_id          bigint not null,
    check (recorded_from <= recorded_to)
);
create unique index envelope_recipient_open on warehouse.envelope_recipient (vendor, envelope_recipient_key) where recorded_to is null;
create index envelope_recipient_by_envelope on warehouse.envelope_recipient (vendor, envelope_key) where recorded_to is null;

create table warehouse.envelope_event (
    vendor             text not null,
    envelope_event_key text collate "C" not null,
    envelope_key       text collate "C" not null,
    event              text not null,
    actor_name         text,
    actor_email        text,
    happened_on        date,
    happened_at        timestamptz,
    recorded_from      timestamptz not null,
    recorded_to        timestamptz,
    source_run_id      bigint not null,
    check (recorded_from <= recorded_to)
);
create unique index envelope_event_open on warehouse.envelope_event (vendor, envelope_event_key) where recorded_to is null;
create index envelope_event_by_envelope on warehouse.envelope_event (vendor, envelope_key, happened_at) where recorded_to is null;

-- Who has to do something: all others only get to see it.
create function mart.acting_roles() returns text[] language sql immutable as $$
    select array['signer', 'in_person_signer', 'approver', 'acceptor', 'form_filler', 'certified_recipient']
$$;

-- Envelopes with whose they are: the household that the sender named, or else the only one that the signers' e-mail addresses
-- lead to. Who waits is the first signer in order who has not acted.
create function mart.envelope_as_known(known_at timestamptz)
returns table (vendor text, envelope_key text, subject text, purpose text, status text, is_final boolean, reason text,
               household_id bigint, sender_name text, sender_email text, created_at timestamptz, sent_at timestamptz,
               delivered_at timestamptz, completed_at timestamptz, ended_at timestamptz, changed_at timestamptz,
               recipients bigint, signed bigint, waits_for text)
language sql stable as $$
    with envelope as (
        select * from warehouse.envelope
        where recorded_from <= known_at and (recorded_to is null or recorded_to > known_at)
    ), recipient as (  -- those that the newest state names: an envelope's own row may be there before its recipients'
        select * from (
            select r.*, rank() over (partition by r.vendor, r.envelope_key order by r.changed_at desc nulls last) as place
            from warehouse.envelope_recipient r
            where r.recorded_from <= known_at and (r.recorded_to is null or r.recorded_to > known_at)
        ) newest where place = 1
    ), addressed as (
        select lower(p.email) as email, min(h.identity_id) as household_id
        from warehouse.known_person p
        join warehouse.known_household h on h.household_id = p.household_id
        where p.email is not null group by 1 having count(distinct h.identity_id) = 1
    ), led as (
        select r.vendor, r.envelope_key, min(a.household_id) as household_id
        from recipient r join addressed a on a.email = lower(r.email)
        where r.role = any(mart.acting_roles()) group by 1, 2 having count(distinct a.household_id) = 1
    ), acted as (
        select vendor, envelope_key, count(*) as recipients, count(signed_at) as signed,
               min(reason) filter (where declined_at is not null) as declined_for,
               (array_agg(name order by routing_order, envelope_recipient_key)
                filter (where signed_at is null and declined_at is null and status <> 'completed'))[1] as waits_for
        from recipient where role = any(mart.acting_roles()) group by 1, 2
    )
    select e.vendor, e.envelope_key, e.subject, e.purpose, e.status, e.is_final, coalesce(e.reason, a.declined_for),
           coalesce(h.identity_id, l.household_id), e.sender_name, e.sender_email, e.created_at, e.sent_at, e.delivered_at,
           e.completed_at, e.ended_at, e.changed_at, coalesce(a.recipients, 0), coalesce(a.signed, 0),
           case when not e.is_final then a.waits_for end
    from envelope e
    left join warehouse.source_key k on k.entity = 'household' and split_part(e.household_reference, ':', 2) = 'household'
         and k.vendor = split_part(e.household_reference, ':', 1) and k.source_key = split_part(e.household_reference, ':', 3)
    left join warehouse.known_household h on h.household_id = k.id
    left join led l on l.vendor = e.vendor and l.envelope_key = e.envelope_key
    left join acted a on a.vendor = e.vendor and a.envelope_key = e.envelope_key
$$;
create view mart.envelope as select * from mart.envelope_as_known('infinity');
grant select on mart.envelope to tributary_load, tributary_read;
grant execute on function mart.envelope_as_known(timestamptz), mart.acting_roles() to tributary_load, tributary_read;

-- Which document of an envelope is kept where, until when, and for what it is held. Loaders add to it; none is taken away.
create table control.document (
    vendor       text        not null,
    envelope_key text        collate "C" not null,
    kind         text        not null,             -- signed, certificate
    content_hash text        not null check (content_hash ~ '^[0-9a-f]{64}$'),  -- SHA-256 of the file, and its name
    bytes        bigint      not null,
    stored_at    timestamptz not null default clock_timestamp(),
    retain_until date        not null,
    held_for     text,                             -- a reason that is stronger than the date
    held_by      text,
    held_at      timestamptz,
    primary key (vendor, envelope_key, kind)
);
-- Documents that could not be had: they are tried again, and the longer the rarer.
create table control.document_try (
    vendor       text        not null,
    envelope_key text        collate "C" not null,
    kind         text        not null,
    tries        int         not null default 1,
    tried_at     timestamptz not null default clock_timestamp(),
    error        text        not null,
    primary key (vendor, envelope_key, kind)
);
create index document_by_content on control.document (content_hash);
revoke delete on control.document from tributary_load;
