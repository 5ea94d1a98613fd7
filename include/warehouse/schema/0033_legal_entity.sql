-- Persons and legal entities are separate. A registration has a kind and parties, and an account is owned by a person or by a legal entity.

create table warehouse.legal_entity (
    legal_entity_id  bigint not null,
    vendor           text not null,
    legal_entity_key text collate "C" not null,
    household_id     bigint,
    name             text,
    entity_kind      text,
    tax_id_hash      text,
    tax_id_last4     text,
    is_past_only     boolean not null default false,
    valid_from       date not null,
    valid_to         date,
    recorded_from    timestamptz not null,
    recorded_to      timestamptz,
    source_run_id    bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(legal_entity_id, legal_entity_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index legal_entity_key_open on warehouse.legal_entity (vendor, legal_entity_key) where recorded_to is null;
create index legal_entity_id_open on warehouse.legal_entity (legal_entity_id) where recorded_to is null;
create index legal_entity_household_open on warehouse.legal_entity (household_id) where recorded_to is null;

alter table warehouse.registration add column registration_kind text;

create table warehouse.registration_party (
    registration_party_id  bigint not null,
    vendor                 text not null,
    registration_party_key text collate "C" not null,
    registration_id        bigint,
    person_id              bigint,
    legal_entity_id        bigint,
    role                   text,
    name                   text,
    is_past_only           boolean not null default false,
    valid_from             date not null,
    valid_to               date,
    recorded_from          timestamptz not null,
    recorded_to            timestamptz,
    source_run_id          bigint not null,
    check (valid_to is null or valid_from < valid_to),
    check (recorded_from <= recorded_to),
    exclude using gist (int8range(registration_party_id, registration_party_id, '[]') with &&, daterange(valid_from, valid_to) with &&)
        where (recorded_to is null)
);
create index registration_party_key_open on warehouse.registration_party (vendor, registration_party_key) where recorded_to is null;
create index registration_party_by_registration on warehouse.registration_party (registration_id);

alter table warehouse.account_owner add column legal_entity_id bigint;
create index account_owner_by_legal_entity on warehouse.account_owner (legal_entity_id) where legal_entity_id is not null;

-- As in 0026_quality.sql.
do $$
declare
    entity text;
begin
    foreach entity in array array['legal_entity', 'registration_party'] loop
        execute format('create index %I on warehouse.%I using brin (source_run_id) with (autosummarize = on)', entity || '_by_load', entity);
        execute format('create index %I on warehouse.%I (vendor, %I) where recorded_to is not null', entity || '_closed', entity, entity || '_key');
    end loop;
end $$;

-- Identity, which stays one list: legal entities are linked with each other, never with persons.
alter table warehouse.identity drop constraint identity_entity_check,
    add constraint identity_entity_check check (entity in ('person', 'legal_entity', 'household', 'account', 'security'));
alter table control.identity_link drop constraint identity_link_entity_check,
    add constraint identity_link_entity_check check (entity in ('person', 'legal_entity', 'household', 'account'));
alter table control.identity_review drop constraint identity_review_entity_check,
    add constraint identity_review_entity_check check (entity in ('person', 'legal_entity', 'household', 'account'));
alter table control.identity_decision drop constraint identity_decision_entity_check,
    add constraint identity_decision_entity_check check (entity in ('person', 'legal_entity', 'household', 'account'));

-- As for a person in 0012_rights.sql, 0014_audit.sql and 0019_retention.sql.
grant select (legal_entity_id, vendor, household_id, valid_to, recorded_to) on warehouse.legal_entity to tributary_listener;
grant select on warehouse.legal_entity to tributary_web;
insert into control.retention (dataset, aged_by, minimum) values
    ('warehouse.legal_entity',
     'coalesce(t.recorded_to, (select a.absent_since from control.absence a where a.entity = ''legal_entity'' and a.vendor = t.vendor and a.source_key = t.legal_entity_key))',
     '6 years'),
    ('warehouse.registration_party', 'coalesce(t.recorded_to, (select a.absent_since from control.absence a join warehouse.source_key k
         on (k.entity, k.vendor, k.source_key) = (a.entity, a.vendor, a.source_key) where k.entity = ''registration'' and k.id = t.registration_id))', '6 years');

insert into mart.source (mart, entity, has_money)
select 'legal_entity', entity, false
from unnest(array['legal_entity', 'registration', 'registration_party', 'account_owner', 'household']) entity;

-- A sync asks before it sends a record that Salesforce has as another kind of record until now: a trust that was a person.
alter table control.crm_question drop constraint crm_question_question_check,
    add constraint crm_question_question_check check (question in ('change', 'close', 'worth', 'separate'));
