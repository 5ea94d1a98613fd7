-- The integration database: what was done, what could not go on, and who may write.

create schema if not exists control;

create sequence control.ledger_id;
create table control.ledger (
    ledger_id      bigint      primary key,        -- source_run_id of every row that the step wrote
    run_id         text        not null,
    vendor         text        not null,
    table_name     text        not null,          -- vendor's table; for the CRM, the Salesforce object
    entity         text        not null default '',
    business_date  date        not null,
    stage          text        not null check (stage in ('stage', 'validate', 'transform', 'load', 'crm')),
    pull_id        text        not null,
    pulled         text        not null check (pulled in ('present', 'past', 'chosen', 'pushed', 'replay')),
    extracted_at   timestamptz not null,
    window_to      timestamptz,
    fetched        bigint not null default 0,
    staged         bigint not null default 0,
    duplicate      bigint not null default 0,
    dead           bigint not null default 0,
    split          bigint not null default 0,
    produced       bigint not null default 0,
    merged         bigint not null default 0,
    dropped        bigint not null default 0,
    inserted       bigint not null default 0,
    updated        bigint not null default 0,
    unchanged      bigint not null default 0,
    superseded     bigint not null default 0,
    withdrawn      bigint not null default 0,     -- open rows that a later whole snapshot lacks; outside the balance
    sent           bigint not null default 0,
    created        bigint not null default 0,
    failed         bigint not null default 0,
    unprocessed    bigint not null default 0,
    money_in       numeric(28, 2),
    money_out      numeric(28, 2),
    seconds        double precision not null default 0,
    notes          jsonb       not null default '{}',
    recorded_at    timestamptz not null default clock_timestamp(),
    unique (pull_id, vendor, table_name, entity, business_date, stage),
    constraint stage_balances     check (stage <> 'stage'     or fetched = staged + duplicate + dead),
    constraint validate_balances  check (stage <> 'validate'  or staged = produced + dead),
    constraint transform_balances check (stage <> 'transform' or staged + split = produced + merged + dropped),
    constraint load_balances      check (stage <> 'load'      or produced = inserted + updated + unchanged + superseded + dead),
    constraint crm_balances       check (stage <> 'crm'       or sent = created + updated + failed + unprocessed),
    constraint money_balances     check (money_in is not distinct from money_out)
);
create index ledger_by_day on control.ledger (vendor, business_date, table_name);
create index ledger_by_run on control.ledger (run_id);

create table control.dead_letter (
    dead_letter_id bigint generated always as identity primary key,
    run_id         text        not null,
    vendor         text        not null,
    table_name     text        not null,
    business_date  date        not null,
    stage          text        not null,
    row_key        text,
    reasons        text[]      not null,
    partition      text        not null,          -- where the raw content is:
    part           text        not null,          --   file of the partition
    row_number     bigint      not null,          --   row within it, from 0
    status         text        not null default 'open' check (status in ('open', 'replayed', 'superseded', 'discarded')),
    replayed_by    text,
    died_at        timestamptz not null default clock_timestamp(),
    closed_at      timestamptz,
    unique (partition, part, row_number, stage)
);
create index dead_letter_open on control.dead_letter (vendor, table_name, business_date) where status = 'open';

create table control.api_call (
    called_at      timestamptz not null,
    vendor         text        not null,
    table_name     text        not null,
    path           text        not null,
    status         int,
    latency_ms     double precision not null,
    bytes          bigint      not null,
    correlation_id text,
    run_id         text        not null
);
create index api_call_recent on control.api_call using brin (called_at);

create table control.rate_budget (
    vendor         text        not null,
    bucket         text        not null,
    spoken_until   timestamptz not null,
    primary key (vendor, bucket)
);

-- Refresh tokens that work once, sealed under the firm's key.
create table control.refresh_token (
    vendor         text        not null,
    grant_name     text        not null,
    first_hash     text        not null,          -- keyed hash of the one that the connection named
    sealed         text        not null,          -- the newest
    exchanged_at   timestamptz not null default clock_timestamp(),
    primary key (vendor, grant_name)
);

-- What a fan-out was answered so far; gone when its partition is complete.
create table control.answer (
    run_id         text        not null,
    vendor         text        not null,
    table_name     text        not null,
    asked_for      text        collate "C" not null,
    rows           bytea       not null,
    answered_at    timestamptz not null default clock_timestamp(),
    primary key (run_id, vendor, table_name, asked_for)
);

-- One row per thing that only one writer may change. The highest fence wins; a lower one is refused.
create sequence control.fence;
create table control.writer (
    subject        text   primary key,
    fence          bigint not null,
    backend_pid    int    not null,            -- the session that writes, so that the next writer can end it
    backend_start  timestamptz not null,
    taken_at       timestamptz not null default clock_timestamp()
);

create table control.drift (
    vendor         text        not null,
    table_name     text        not null,
    field          text        not null,
    first_seen_at  timestamptz not null default clock_timestamp(),
    last_seen_at   timestamptz not null default clock_timestamp(),
    primary key (vendor, table_name, field)
);

-- Things that the vendor's newest whole pull did not have. Absent is not deleted: nothing of them is changed.
create table control.absence (
    vendor         text        not null,
    entity         text        not null,
    source_key     text        collate "C" not null,
    table_name     text        not null,
    absent_since   date        not null,          -- business date of the first pull without it
    run_id         text        not null,
    noted_at       timestamptz not null default clock_timestamp(),
    primary key (vendor, entity, source_key)
);

-- What was compared at the end of a run, and what did not agree.
create table control.reconciliation (
    run_id         text        not null,
    vendor         text        not null,
    business_date  date        not null,
    check_name     text        not null,
    expected       numeric     not null,
    actual         numeric     not null,
    tolerance      numeric     not null,
    breaks         bigint      not null default 0,
    explained      bigint      not null default 0,  -- breaks that open dead letters account for
    is_passed      boolean     not null,
    note           text        not null default '',
    checked_at     timestamptz not null default clock_timestamp(),
    primary key (run_id, vendor, business_date, check_name)
);

create table control.roll_forward_break (
    run_id         text        not null,
    vendor         text        not null,
    business_date  date        not null,
    position_key   text        not null,
    account_id     bigint,
    expected       numeric     not null,
    actual         numeric     not null,
    difference     numeric     not null,
    primary key (run_id, vendor, business_date, position_key)
);

-- Who was told that what is late; once each.
create table control.lateness (
    vendor         text        not null,
    table_name     text        not null,
    business_date  date        not null,
    stage          text        not null,
    due_at         timestamptz not null,
    told_at        timestamptz not null default clock_timestamp(),
    primary key (vendor, table_name, business_date, stage)
);
