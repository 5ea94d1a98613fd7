-- The integration database: what was done, what failed, and who may write.

create schema if not exists control;
create schema warehouse;
create schema mart;

-- One role migrates and owns everything, one loads, one reads. These are the rights on every table, view and function that is created
-- later. Exceptions stand beside their tables; the narrow rights of the other roles are in 0012_rights.sql.
grant usage on schema control, warehouse, mart to tributary_load, tributary_read;
alter default privileges in schema control, warehouse, mart grant select on tables to tributary_load, tributary_read;
alter default privileges in schema control grant insert, update, delete on tables to tributary_load;
alter default privileges in schema warehouse grant insert, update on tables to tributary_load;
alter default privileges in schema control grant usage on sequences to tributary_load;
alter default privileges in schema mart grant execute on functions to tributary_load, tributary_read;
grant select on control.schema_version to tributary_read;  -- Alembic's table: the number of the newest file here that was run

create sequence control.ledger_id;
create table control.ledger (
    ledger_id             bigint      primary key,       -- source_run_id of every row that the step wrote
    run_id                text        not null,
    vendor                text        not null,
    table_name            text        not null,          -- vendor's table; for the CRM, the Salesforce object
    entity                text        not null default '',
    business_date         date        not null,
    stage                 text        not null check (stage in ('stage', 'validate', 'transform', 'load', 'crm')),
    pull_id               text        not null,
    pulled                text        not null check (pulled in ('current', 'historical', 'selected', 'pushed', 'replay')),
    extracted_at          timestamptz not null,
    window_to             timestamptz,
    fetched               bigint      not null default 0,
    staged                bigint      not null default 0,
    duplicate             bigint      not null default 0,
    dead                  bigint      not null default 0,
    split                 bigint      not null default 0,
    produced              bigint      not null default 0,
    merged                bigint      not null default 0,
    dropped               bigint      not null default 0,
    inserted              bigint      not null default 0,
    updated               bigint      not null default 0,
    unchanged             bigint      not null default 0,
    superseded            bigint      not null default 0,
    withdrawn             bigint      not null default 0,  -- open rows that are missing from a later full snapshot; not in the balance
    sent                  bigint      not null default 0,
    created               bigint      not null default 0,
    failed                bigint      not null default 0,
    unprocessed           bigint      not null default 0,
    money_in              numeric(28, 2),
    money_out             numeric(28, 2),
    dead_money_usd        numeric(28, 2),                  -- money of the rows that died in this step, where it can be read
    dead_money_unreadable bigint      not null default 0,  -- rows among them whose money can't be read
    seconds               double precision not null default 0,
    notes                 jsonb       not null default '{}',
    recorded_at           timestamptz not null default clock_timestamp(),
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

-- The reasons that events and the API show. For the CRM only the code before the colon: the text after it may hold a record's values.
create function control.cut_reasons(stage text, reasons text[]) returns text[] language sql immutable as $$
    select coalesce(array_agg(left(case stage when 'crm' then split_part(reason, ':', 1) else reason end, 200) order by place), '{}')
    from unnest(reasons) with ordinality as given(reason, place)
$$;

create table control.dead_letter (
    dead_letter_id      bigint      generated always as identity primary key,
    run_id              text        not null,
    vendor              text        not null,
    table_name          text        not null,
    business_date       date        not null,
    stage               text        not null,
    row_key             text,
    reasons             text[]      not null,
    public_reasons        text[]      not null generated always as (control.cut_reasons(stage, reasons)) stored,
    partition           text        not null,      -- location of the raw content:
    part                text        not null,      --   file of the partition
    row_number          bigint      not null,      --   row within it, from 0
    row_date            date,                      -- the day that the row is about, where it can be read
    extracted_at        timestamptz not null default '-infinity',  -- of its pull: only a pull as new as this closes the dead letter
    money_usd           numeric(28, 2),            -- of the table's money column; null where the table has none
    is_money_unreadable boolean     not null default false,
    -- What the row may describe, so that a load doesn't take it for removed while the dead letter is open:
    -- [{"entity", "key"}] where its canonical key can be read, else [{"entity", "parent"}], else [{"entity"}]: any row of that entity.
    describes           jsonb       not null default '[{"entity": "*"}]',
    status              text        not null default 'open' check (status in ('open', 'replayed', 'superseded', 'discarded')),
    replayed_by         text,
    discard_reason      text        check (discard_reason is null or status = 'discarded'),
    discarded_by        text        check ((discarded_by is null) = (discard_reason is null)),
    died_at             timestamptz not null default clock_timestamp(),
    closed_at           timestamptz,
    unique (partition, part, row_number, stage)
);
-- The start of a key is enough to find it, and an index can't hold a text of any length.
create index dead_letter_open on control.dead_letter (vendor, table_name, left(row_key, 200), business_date) where status = 'open';

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

-- Single-use refresh tokens, encrypted under the firm's key.
create table control.refresh_token (
    vendor         text        not null,
    grant_name     text        not null,
    first_hash     text        not null,          -- keyed hash of the token in the connection
    sealed         text        not null,          -- the newest token
    exchanged_at   timestamptz not null default clock_timestamp(),
    primary key (vendor, grant_name)
);
revoke select on control.refresh_token from tributary_read;

-- Responses of an unfinished fan-out, so that a retry continues it; deleted when its partition is complete.
create table control.answer (
    run_id         text        not null,
    vendor         text        not null,
    table_name     text        not null,
    request_key    text        collate "C" not null,
    rows           bytea       not null,
    answered_at    timestamptz not null default clock_timestamp(),
    primary key (run_id, vendor, table_name, request_key)
);

-- The last response of each request that has an ETag: the vendor sends it again only if it changed. Sensitive fields are tokens; free
-- text of persons is not.
create table control.known_answer (
    vendor         text        not null,
    table_name     text        not null,
    request_key    text        collate "C" not null,
    contract       text        not null,          -- hash of the table's declaration with which the rows were read
    etag           text        not null,
    rows           bytea       not null,
    requested_at   timestamptz not null default clock_timestamp(),
    primary key (vendor, table_name, request_key)
);
revoke select on control.known_answer, control.answer from tributary_read;
grant select (vendor, table_name, request_key, contract, etag, requested_at) on control.known_answer to tributary_read;
grant select (run_id, vendor, table_name, request_key, answered_at) on control.answer to tributary_read;

-- One row per thing that only one writer may change. The highest fence wins; a lower one is rejected.
create sequence control.fence;
create table control.writer (
    subject        text        primary key,
    fence          bigint      not null,
    backend_pid    int         not null,          -- the session that writes, so that the next writer can end it
    backend_start  timestamptz not null,
    taken_at       timestamptz not null default clock_timestamp()
);

-- Schema drift: fields that a vendor sends and no declaration names.
create table control.drift (
    vendor         text        not null,
    table_name     text        not null,
    field          text        not null,
    first_seen_at  timestamptz not null default clock_timestamp(),
    last_seen_at   timestamptz not null default clock_timestamp(),
    primary key (vendor, table_name, field)
);

-- Soft deletes: keys missing from the vendor's newest full pull. Absent is not deleted: their rows are not changed.
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

-- The comparisons at the end of a run, with their results.
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
    -- The operator who accepted a day that does not add up: the vendor confirms it, or never corrects it. It is loaded, and shown as
    -- `accepted` for as long as it is in force.
    accepted_by    text        check (accepted_by <> ''),
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

-- Accounts whose stated value is not the sum of their positions.
create table control.control_total_break (
    run_id         text        not null,
    vendor         text        not null,
    business_date  date        not null,
    account_id     bigint      not null,
    expected       numeric     not null,
    actual         numeric     not null,
    difference     numeric     not null,
    is_explained   boolean     not null,          -- by an open dead letter of the account
    primary key (run_id, vendor, business_date, account_id)
);

-- Vendor days that a check rejected: nothing of them was loaded, and the last good day stays in force.
create table control.rejection (
    run_id         text        not null,
    vendor         text        not null,
    business_date  date        not null,
    step           text        not null check (step in ('stage', 'validate', 'load')),
    reason         text        not null,
    recorded_at    timestamptz not null default clock_timestamp(),
    primary key (run_id, vendor, business_date, step)
);
create index rejection_by_day on control.rejection (vendor, business_date);

-- Lateness alerts: one per table, day and stage.
create table control.lateness (
    vendor         text        not null,
    table_name     text        not null,
    business_date  date        not null,
    stage          text        not null,
    due_at         timestamptz not null,
    alerted_at        timestamptz not null default clock_timestamp(),
    primary key (vendor, table_name, business_date, stage)
);

-- Every alert to people: recorded before it is sent, in the transaction around the sending, so that none is sent twice.
create table control.alert (
    alert_id       bigint      generated always as identity primary key,
    kind           text        not null,             -- failed, deadline, late, dead_letters, breaks, digest, ...
    dag_id         text        not null default '',
    run_id         text        not null default '',
    task           text        not null default '',  -- with its map index: pull[2]
    subject        text        not null default '',  -- what else it is about: a deadline, a try, a day
    title          text        not null,
    recorded_at    timestamptz not null default clock_timestamp(),
    sent_at        timestamptz,                      -- null: recorded only, such as a rejected input
    unique (kind, dag_id, run_id, task, subject)
);
create index alert_recent on control.alert (recorded_at);

-- A vendor that a run can't reach: from the first failed try until every task that met the outage has its response.
create table control.outage (
    outage_id      bigint      generated always as identity primary key,
    vendor         text        not null,
    run_id         text        not null,
    tasks          text[]      not null,             -- that still wait: pull[2]
    error          text        not null,             -- of the newest failed try
    since          timestamptz not null,             -- the first failed request
    tries          integer     not null check (tries > 0),
    failed_at      timestamptz not null default clock_timestamp(),
    over_at        timestamptz
);
create unique index outage_open on control.outage (vendor, run_id) where over_at is null;

-- The sessions that hold locks on these tables (with none named: on any of ours), strongest lock first. It runs as the owner, which may
-- read the states of all sessions; it returns no text of a query.
create function control.find_lock_holders(tables text[])
returns table (pid int, role text, application text, state text, since timestamptz, lock text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with named as (
        select to_regclass(given)::oid as oid from unnest(tables) as given
        union
        select inhrelid from pg_inherits where inhparent in (select to_regclass(given) from unnest(tables) as given)
    ),
    held as (
        select l.pid, l.mode, c.oid, c.relname, l.relation in (select oid from named where oid is not null) as is_named,
               array_position(array['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
                                    'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock', 'AccessShareLock'], l.mode) as place
        from pg_locks l
        left join pg_class c on c.oid = l.relation
        where l.granted and l.database = (select oid from pg_database where datname = current_database())
          and (l.locktype = 'advisory'
               or l.locktype = 'relation' and c.relnamespace::regnamespace::text in ('control', 'warehouse', 'mart'))
    ),
    strongest as (
        select distinct on (pid) * from held
        where is_named or not exists (select from held where is_named)
        order by pid, place, relname
    )
    select s.pid, coalesce(a.usename, a.backend_type), a.application_name, a.state, a.xact_start,
           concat_ws(' on ', s.mode, s.relname)
    from strongest s join pg_stat_activity a using (pid)
    where s.pid <> pg_backend_pid()
    order by s.place, a.xact_start
$$;
revoke all on function control.find_lock_holders(text[]) from public;
