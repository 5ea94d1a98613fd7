-- Adoption of records that Salesforce had before Tributary, or that users created since: our key is written onto them, instead of creating
-- a second record. Account numbers are hashed when they are read; the clear number is not stored.

-- A copy of the org's households, persons, contacts, legal entities and financial accounts, with or without our key.
create table control.org_record (
    sobject         text        not null,
    salesforce_id   text        not null,
    entity          text        not null,           -- household, person, contact, legal_entity, account, or an object that links two of them
    external_key    text        collate "C",         -- the value of our key field
    name            text,
    first_name      text,
    last_name       text,
    birth_date      date,
    email           text,
    phone           text,
    street          text,
    city            text,
    state_code      text,
    postal_code     text,
    links           jsonb       not null default '{}',  -- relationship -> Salesforce id of the parent
    number_hash     text,                           -- keyed hash of a complete account number
    number_last4    text,
    payload         jsonb       not null,           -- the fields that the sync writes, as in `crm_state`
    changed_at      timestamptz not null,           -- by Salesforce's clock
    primary key (sobject, salesforce_id)
);
create index org_record_id on control.org_record (salesforce_id);  -- unique in the whole org
create index org_record_key on control.org_record (sobject, external_key);
create index org_record_contact on control.org_record ((links ->> 'Account')) where sobject = 'Contact';
comment on table control.org_record is 'Records of the org that are compared with ours before a sync creates new ones';

-- Until when the changes of each object were read, by Salesforce's clock.
create table control.org_read (
    sobject     text        primary key,
    read_until  timestamptz not null,
    columns     text[]      not null                -- other columns than now: everything is read again
);

-- The newest comparison: one row per record of the org that lacks our key, and one per record of ours that the org lacks.
create table control.adoption_finding (
    finding_id     bigint      generated always as identity primary key,
    entity         text        not null,
    sobject        text        not null,
    salesforce_id  text        not null,            -- empty: the org has no such record
    external_key   text        collate "C",         -- our record; null if there is none, or if several may be the same
    -- matched: one record on each side. doubtful: may be one of `candidates`. duplicate: another record of the org is the same client.
    -- shared: stands for two of our clients. unmatched: none of ours. missing: the org has no such record. If a record of ours without one in the
    -- org is doubtful, the `external_key` of a candidate is the Salesforce id of a record that looks like it.
    outcome        text        not null check (outcome in ('matched', 'doubtful', 'duplicate', 'shared', 'unmatched', 'missing')),
    candidates     jsonb       not null default '[]',  -- [{"external_key", "score", "agreed", "differed", "ours", ...}], the best first
    ours           text,                            -- our record as users compare it: name, birth date, address and so on
    changes        jsonb       not null default '{}',  -- what the first sync changes in a matched record: field -> [old, new]
    proposal       text        not null default '',
    run_id         text        not null,
    found_at       timestamptz not null default clock_timestamp(),
    unique nulls not distinct (sobject, salesforce_id, external_key)
);
create index adoption_finding_key on control.adoption_finding (sobject, external_key);

-- What people decided about single records. The newest decision on a record and a key counts; none is ever changed.
create table control.adoption_decision (
    decision_id    bigint      generated always as identity primary key,
    sobject        text        not null,
    salesforce_id  text        not null,
    external_key   text        collate "C" not null,
    is_same        boolean,                         -- null: an earlier decision no longer counts
    reason         text        not null default '',
    decided_by     text        not null check (decided_by <> ''),
    decided_at     timestamptz not null default clock_timestamp()
);
create index adoption_decision_newest on control.adoption_decision (sobject, salesforce_id, external_key, decision_id desc);
revoke update, delete on control.adoption_decision from tributary_load;

-- Entities whose certain matches get our key without a further question; the newest row of an entity counts.
create table control.adoption_approval (
    approval_id    bigint      generated always as identity primary key,
    entity         text        not null,
    is_approved    boolean     not null,
    records        bigint      not null,            -- matched records when it was approved
    approved_by    text        not null check (approved_by <> ''),
    approved_at    timestamptz not null default clock_timestamp()
);
revoke update, delete on control.adoption_approval from tributary_load;

-- The keys that adoption wrote onto records of the org. Only these can be removed again.
create table control.adopted (
    sobject        text        not null,
    salesforce_id  text        not null,
    external_key   text        collate "C" not null,
    state          text        not null check (state in ('planned', 'written', 'failed', 'removed')),
    error          text        not null default '',
    run_id         text        not null,
    changed_at     timestamptz not null default clock_timestamp(),
    primary key (sobject, salesforce_id)
);

-- The vendor's value of shared fields when it was last compared: a value that users typed stays until the vendor's value changes.
alter table control.crm_state add column shared_values jsonb not null default '{}';

alter table control.crm_held drop constraint crm_held_cause_check,
    add constraint crm_held_cause_check check (cause in ('vendor', 'approval', 'failure', 'parent', 'adoption'));

create trigger audit after insert on control.adoption_decision for each row
    execute function control.audit_row('adoption.decided', 'decided_by', 'sobject salesforce_id external_key', 'is_same reason');
create trigger audit after insert on control.adoption_approval for each row
    execute function control.audit_row('adoption.approved', 'approved_by', 'entity', 'is_approved records');
create trigger audit after insert or update on control.adopted for each row
    execute function control.audit_row('adoption.key_written', '', 'sobject salesforce_id', 'external_key state run_id');
grant select on control.org_record, control.adoption_finding, control.adoption_decision, control.adoption_approval, control.adopted to tributary_web;
