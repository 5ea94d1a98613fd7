-- E-signature. An envelope is an event with a life: one open row per key; a newer state closes the one before.

create table warehouse.template (
    template_id   bigint not null,
    vendor        text not null,
    template_key  text collate "C" not null,
    name          text,
    purpose       text,
    is_past_only  boolean not null default false,
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
create index envelope_before on warehouse.envelope (vendor, envelope_key, recorded_to) where recorded_to is not null;
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

-- Where each document of an envelope is stored, until when, and its retention hold. Loaders add rows and never delete them.
create table control.document (
    vendor       text        not null,
    envelope_key text        collate "C" not null,
    kind         text        not null,             -- signed, certificate
    content_hash text        not null check (content_hash ~ '^[0-9a-f]{64}$'),  -- SHA-256 of the file, and its name
    bytes        bigint      not null,
    stored_at    timestamptz not null default clock_timestamp(),
    retain_until date        not null,
    held_for     text,                             -- reason of a retention hold, which overrides the date
    held_by      text,
    held_at      timestamptz,
    primary key (vendor, envelope_key, kind)
);
create index document_by_content on control.document (content_hash);
revoke delete on control.document from tributary_load;

-- Documents that could not be downloaded: retried with growing intervals.
create table control.document_try (
    vendor       text        not null,
    envelope_key text        collate "C" not null,
    kind         text        not null,
    tries        int         not null default 1,
    tried_at     timestamptz not null default clock_timestamp(),
    error        text        not null,
    primary key (vendor, envelope_key, kind)
);
