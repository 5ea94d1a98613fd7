-- The CRM side of the integration database. Payloads are JSON objects: Salesforce field -> text as sent, null to clear.

-- The last state that Salesforce accepted, one row per record of ours.
create table control.crm_state (
    sobject        text        not null,
    external_key   text        collate "C" not null,
    payload        jsonb       not null,
    salesforce_id  text        not null,
    job_id         text        not null,          -- the job that carried it
    accepted_at    timestamptz not null default clock_timestamp(),
    missing        text        check (missing in ('deleted', 'merged')),  -- in Salesforce; not sent until a person decides
    primary key (sobject, external_key)
);
create index crm_state_account_id on control.crm_state (salesforce_id) where sobject = 'Account';

-- Differences that a read-back found between Salesforce and `crm_state`. Names of fields, never values.
create table control.crm_difference (
    difference_id  bigint      generated always as identity primary key,
    run_id         text        not null,
    sobject        text        not null,
    entity         text        not null,
    external_key   text        collate "C" not null,
    salesforce_id  text        not null,
    kind           text        not null check (kind in ('edited', 'deleted', 'merged', 'unknown', 'other id', 'remade')),
    fields         text[]      not null default '{}',
    master_id      text,                          -- of a merged record: the record that it was merged into
    found_at       timestamptz not null default clock_timestamp()
);
create index crm_difference_by_run on control.crm_difference (run_id);

-- One row per bulk job, committed before its data is uploaded, so that the task after a killed one finds the job.
create table control.crm_job (
    job_id         text        primary key,       -- Salesforce's; our own for collections
    sobject        text        not null,
    entity         text        not null,
    run_id         text        not null,
    business_date  date        not null,
    sent_by        text        not null check (sent_by in ('bulk', 'collections')),
    file_sha256    text        not null,          -- empty where there is no file
    rows           bigint      not null,
    -- open: not yet uploaded; uploaded; closed: every row has its result; abandoned: nothing was done, or its results can't be requested;
    -- unbalanced: its results did not account for its rows, which are therefore sent again.
    state          text        not null default 'open'
                   check (state in ('open', 'uploaded', 'closed', 'abandoned', 'unbalanced')),
    created_at     timestamptz not null default clock_timestamp(),
    changed_at     timestamptz not null default clock_timestamp()
);
create index crm_job_unfinished on control.crm_job (sobject, entity) where state in ('open', 'uploaded');

-- The rows of a job: all of them until it is closed, then only those that are dead letters.
create table control.crm_sent (
    job_id         text        not null references control.crm_job,
    external_key   text        collate "C" not null,
    row_number     bigint      not null,          -- row within the job's file, from 0
    payload        jsonb       not null,
    primary key (job_id, external_key)
);

-- Changes that need approval before they are sent, with the decision. Never deleted: a rejection counts until the difference changes.
create table control.crm_question (
    question_id    bigint      generated always as identity primary key,
    entity         text        not null,
    question       text        not null check (question in ('change', 'close', 'worth')),
    records        bigint      not null,          -- how many it is about; of `worth`: dollars
    difference     text        not null,          -- hash of the change: another difference is another question
    wording        text        not null,          -- as the person reads it
    run_id         text        not null,          -- that found it
    requested_at   timestamptz not null default clock_timestamp(),
    is_approved    boolean,                       -- null while it waits
    reason         text,
    decided_by     text,
    decided_at     timestamptz,
    used_by        text,                          -- the run that sent the approved change: an approval counts once
    check ((is_approved is null) = (decided_at is null) and (is_approved is null) = (decided_by is null)),
    check (is_approved is not false or reason <> ''),
    check (used_by is null or is_approved)
);
create index crm_question_newest on control.crm_question (entity, question, question_id desc);

-- What the newest full sync did not send, one row per object and cause.
create table control.crm_held (
    entity         text        not null,
    cause          text        not null check (cause in ('vendor', 'approval', 'failure', 'parent')),
    subject        text        not null,          -- the vendor, the question or the class of the error; empty for a parent
    records        bigint      not null,
    reason         text        not null,
    since          timestamptz not null,
    alerted_at     timestamptz,                   -- null until the alert is sent: one alert per state, not per run
    run_id         text        not null,
    primary key (entity, cause, subject)
);

-- Some of the records of each object that Salesforce accepted last, with its own time of their change. If Salesforce later returns an
-- earlier time, the org was restored from a backup.
create table control.crm_mark (
    sobject        text        not null,
    salesforce_id  text        not null,
    modified_at    timestamptz not null,          -- by Salesforce's clock
    primary key (sobject, salesforce_id)
);

-- Changes that people make in Salesforce, one row per record and change; never updated or deleted. Our own writes are not here.
create table warehouse.crm_change (
    change_id       bigint      generated always as identity primary key,
    object          text        not null,
    salesforce_id   text        not null,             -- of a platform event: its own id
    change_type     text        not null check (change_type in ('CREATE', 'UPDATE', 'DELETE', 'UNDELETE', 'REREAD', 'EVENT')),
    fields          jsonb       not null check (jsonb_typeof(fields) = 'object'),  -- new values of the changed fields; null: cleared
    changed         text[]      not null,
    nulled          text[]      not null,
    committed_at    timestamptz not null,             -- by Salesforce's clock; of a REREAD the end of the second of its last change
    commit_number   bigint      not null,
    transaction_key text        collate "C" not null, -- with `sequence_number` the identity of the change
    sequence_number int         not null,
    commit_user     text        not null,
    origin          text        not null,
    recorded_at     timestamptz not null default clock_timestamp(),
    unique (transaction_key, sequence_number, object, salesforce_id)
);
create index crm_change_by_record on warehouse.crm_change (object, salesforce_id, committed_at);
revoke update, delete on warehouse.crm_change from tributary_load;

-- The position in each topic, written in the transaction of its changes.
create table control.crm_topic (
    topic         text        primary key,
    replay_id     bytea,                              -- where to continue; null: it was lost, and missed changes are read by query
    received_at      timestamptz,                        -- the newest commit received, by Salesforce's clock
    checked_at     timestamptz,                        -- the topic's last message, also an empty one
    trouble       text,                               -- why the subscription fails
    trouble_since timestamptz
);

-- Merge JSON objects: the last value of every field.
create aggregate warehouse.fold(jsonb) (sfunc = jsonb_concat, stype = jsonb, initcond = '{}');
