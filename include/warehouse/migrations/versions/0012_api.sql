-- What other programs ask of us over HTTP. The API writes by three functions and reads what is granted at the end of this file.

create table control.api_key (
    key_id       text        primary key,
    caller       text        not null,
    secret_hash  bytea       not null check (octet_length(secret_hash) = 32),  -- SHA-256 of 256 random bits
    scopes       text[]      not null check (cardinality(scopes) > 0),
    created_at   timestamptz not null default clock_timestamp(),
    expires_at   timestamptz not null,
    revoked_at   timestamptz,
    last_used_on date
);

-- A run or a replay that somebody asked for. Its run in Airflow is named after it, so that it can't be started twice.
create table control.request (
    request_id   uuid        primary key,
    number       bigint      generated always as identity unique,       -- the order in which they came
    run_id       text        not null unique generated always as ('api__' || cast(request_id as text)) stored,
    caller       text        not null,
    what         text        not null check (what in ('run', 'replay')),
    vendor       text        not null,
    params       jsonb       not null,                                  -- as the form of the DAG names them
    state        text        not null default 'waiting' check (state in ('waiting', 'started', 'succeeded', 'failed')),
    detail       text,                                                  -- why it failed
    tries        int         not null default 0,                        -- how often somebody set out to start it
    asked_at     timestamptz not null,
    looked_at    timestamptz,
    ended_at     timestamptz,
    check ((ended_at is not null) = (state in ('succeeded', 'failed')))
);
create index request_open on control.request (number) where state in ('waiting', 'started');

-- What was answered to a caller's idempotency key, for a day.
create table control.idempotency (
    caller          text        not null,
    idempotency_key text        not null,
    request_hash    bytea       not null,
    answer          jsonb       not null,
    answered_at     timestamptz not null,
    primary key (caller, idempotency_key)
);
create index idempotency_old on control.idempotency (answered_at);

create index inbox_pushed on control.inbox (event_id) where sender like 'push.%';

-- Keeps an answer under a key; returns whether the key is new, and else what it was first used for and answered with. Two calls
-- with one key at once: the second waits here for the first.
create function control.remember(of_caller text, of_key text, of_hash bytea, of_answer jsonb,
                                 out is_new boolean, out is_same boolean, out answer jsonb)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into control.idempotency as known (caller, idempotency_key, request_hash, answer, answered_at)
    values (of_caller, of_key, of_hash, of_answer, clock_timestamp())
    on conflict (caller, idempotency_key) do update
    set request_hash = excluded.request_hash, answer = excluded.answer, answered_at = excluded.answered_at
    where known.answered_at < clock_timestamp() - interval '24 hours';
    is_new := found;
    select known.request_hash = of_hash, known.answer into strict is_same, answer
    from control.idempotency known where known.caller = of_caller and known.idempotency_key = of_key;
end
$$;
revoke all on function control.remember(text, text, bytea, jsonb) from public;

-- Takes a request and rings, in one transaction.
create function control.ask(of_caller text, of_key text, of_hash bytea, of_what text, of_vendor text, of_params jsonb,
                            out is_new boolean, out is_same boolean, out answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    id uuid := gen_random_uuid();
    moment timestamptz := clock_timestamp();
begin
    select r.is_new, r.is_same, r.answer into is_new, is_same, answer
    from control.remember(of_caller, of_key, of_hash, jsonb_build_object('id', id, 'asked_at', moment)) r;
    if is_new then
        insert into control.request (request_id, caller, what, vendor, params, asked_at)
        values (id, of_caller, of_what, of_vendor, of_params, moment);
        perform pg_notify('tributary_requests', of_what);
    end if;
end
$$;
revoke all on function control.ask(text, text, bytea, text, text, jsonb) from public;

-- Puts pushed rows into the inbox. Only under a sender of pushes: what vendors sign can't be forged from here. The hash tells pushes
-- apart, and not bodies: a row that is set to what it once was is news.
create function control.push(of_caller text, of_key text, of_hash bytea, of_vendor text, of_table text, of_body bytea,
                             out is_new boolean, out is_same boolean, out answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    id text := gen_random_uuid();
    content_hash text := encode(sha256(convert_to(id, 'UTF8') || of_body), 'hex');
begin
    select r.is_new, r.is_same, r.answer into is_new, is_same, answer
    from control.remember(of_caller, of_key, of_hash, jsonb_build_object('id', id, 'asked_at', clock_timestamp())) r;
    if is_new then
        perform control.receive('push.' || of_vendor || '.' || of_table, of_body, content_hash, id,
                                jsonb_build_object('caller', of_caller));
    end if;
end
$$;
revoke all on function control.push(text, text, bytea, text, text, bytea) from public;

grant usage on schema control to tributary_api;
grant execute on function control.ask(text, text, bytea, text, text, jsonb), control.push(text, text, bytea, text, text, bytea)
    to tributary_api, tributary_load;
grant select on control.api_key, control.request, control.idempotency to tributary_api;
grant update (last_used_on) on control.api_key to tributary_api;
grant select (run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at, fetched, staged, duplicate, dead,
              produced, inserted, updated, unchanged, superseded, recorded_at, ledger_id) on control.ledger to tributary_api;
grant select (finding_id, vendor, rule, subject_entity, subject_id, household_id, severity, measure, details, business_date_opened,
              opened_at, changed_at, business_date_seen, business_date_closed, closed_at) on control.finding to tributary_api;
grant select (dead_letter_id, run_id, vendor, table_name, business_date, stage, row_key, reasons, status, died_at, closed_at)
    on control.dead_letter to tributary_api;
grant select (inbox_id, sender, event_id, received_at, processed_at, error) on control.inbox to tributary_api;

-- Keys are made by the schema's owner: a task that went astray can't give itself one. Only who checks them reads their hashes.
revoke insert, update, delete on control.api_key from tributary_load;
grant update (last_used_on) on control.api_key to tributary_load;
revoke select on control.api_key from tributary_read;
grant select (key_id, caller, scopes, created_at, expires_at, revoked_at, last_used_on) on control.api_key to tributary_read;
