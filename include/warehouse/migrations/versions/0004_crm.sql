-- The CRM's side of the integration database. Payloads are JSON objects: Salesforce field -> text as sent, null to clear.

-- What Salesforce accepted last, one row a record of ours.
create table control.crm_state (
    sobject        text        not null,
    external_key   text        collate "C" not null,
    payload        jsonb       not null,
    salesforce_id  text        not null,
    job_id         text        not null,          -- the job that carried it
    accepted_at    timestamptz not null default clock_timestamp(),
    missing        text        check (missing in ('deleted', 'merged')),  -- in Salesforce; not sent until somebody decides
    primary key (sobject, external_key)
);

-- What a read-back found that is not as we believed. Names of fields, never values.
create table control.crm_difference (
    difference_id  bigint      generated always as identity primary key,
    run_id         text        not null,
    sobject        text        not null,
    entity         text        not null,
    external_key   text        collate "C" not null,
    salesforce_id  text        not null,
    kind           text        not null check (kind in ('edited', 'deleted', 'merged', 'unknown', 'other id', 'remade')),
    fields         text[]      not null default '{}',
    master_id      text,                          -- of a merged record: the one that it went into
    found_at       timestamptz not null default clock_timestamp()
);
create index crm_difference_by_run on control.crm_difference (run_id);

-- One row a bulk job, committed before its data is uploaded, so that whoever comes after a killed task finds the job.
create table control.crm_job (
    job_id         text        primary key,       -- Salesforce's; our own for collections
    sobject        text        not null,
    entity         text        not null,
    run_id         text        not null,
    business_date  date        not null,
    sent_by        text        not null check (sent_by in ('bulk', 'collections')),
    file_sha256    text        not null,          -- empty where there is no file
    rows           bigint      not null,
    -- open: not yet given to Salesforce; uploaded: given; closed: every row has its result; abandoned: nothing of it was
    -- done or can be asked for; unbalanced: its results did not account for its rows, which therefore go out again.
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
