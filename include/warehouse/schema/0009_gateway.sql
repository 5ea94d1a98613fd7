-- Requests over HTTP: deliveries of webhooks, pushes, and the API's keys and requests. The gateway writes by `control.receive` alone, the
-- API by `control.submit_request` and `control.push`.

-- Deliveries as they came. The inbox is the truth; a notification only wakes its reader.
create table control.inbox (
    inbox_id      bigint      generated always as identity primary key,
    sender        text        not null,
    received_at   timestamptz not null default clock_timestamp(),
    body          bytea       not null,           -- byte for byte; it may hold persons' names, addresses and answers
    content_hash  text        not null,           -- SHA-256, in hex, of the body without the sender's retry counters
    event_id      text,                           -- the sender's own, where it gives one
    headers       jsonb       not null,           -- those that describe the delivery; no secrets
    copies        bigint      not null default 1, -- how often it came
    last_seen_at  timestamptz not null default clock_timestamp(),
    processed_at  timestamptz,                    -- null while it is pending
    error         text,                           -- why processing failed; null while it is pending, and on success
    -- Outcome of a push: {"rows": 3, "dead": 1, "rejected": [{"row": 0, "reasons": ["id: not int64"]}]}. Row numbers and names of
    -- fields, never a value.
    outcome       jsonb,
    unique (sender, content_hash)
);
create index inbox_waiting on control.inbox (inbox_id) where processed_at is null;
create index inbox_pushed on control.inbox (event_id) where sender like 'push.%';

-- The reading role sees deliveries and their outcomes, not their content.
revoke select on control.inbox from tributary_read;
grant select (inbox_id, sender, received_at, content_hash, event_id, headers, copies, last_seen_at, processed_at, error, outcome)
    on control.inbox to tributary_read;

-- Insert a delivery and notify, in one transaction; return whether it is new. A copy of a pending delivery notifies again, as the first
-- notification may be lost. The gateway may call this and nothing else: it can't read, change or delete a delivery.
create function control.receive(of_sender text, of_body bytea, of_hash text, of_event text, of_headers jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    times_seen bigint;
    is_waiting boolean;
begin
    insert into control.inbox as known (sender, body, content_hash, event_id, headers)
    values (of_sender, of_body, of_hash, of_event, of_headers)
    on conflict (sender, content_hash) do update set copies = known.copies + 1, last_seen_at = clock_timestamp()
    returning known.copies, known.processed_at is null into times_seen, is_waiting;
    if is_waiting then
        perform pg_notify('tributary_inbox', of_sender);
    end if;
    return times_seen = 1;
end
$$;
revoke all on function control.receive(text, bytea, text, text, jsonb) from public;

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
-- The schema's owner creates keys: a compromised task can't give itself one. Only roles that check keys read their hashes.
revoke insert, update, delete on control.api_key from tributary_load;
grant update (last_used_on) on control.api_key to tributary_load;
revoke select on control.api_key from tributary_read;
grant select (key_id, caller, scopes, created_at, expires_at, revoked_at, last_used_on) on control.api_key to tributary_read;

-- A run or a replay that a caller requested. Its run in Airflow is named after it, so that it can't be started twice.
create table control.request (
    request_id   uuid        primary key,
    number       bigint      generated always as identity unique,       -- in the order of arrival
    run_id       text        not null unique generated always as ('api__' || cast(request_id as text)) stored,
    caller       text        not null,
    what         text        not null check (what in ('run', 'replay')),
    vendor       text        not null,
    params       jsonb       not null,                                  -- by the names in the DAG's form
    state        text        not null default 'waiting' check (state in ('waiting', 'started', 'succeeded', 'failed')),
    detail       text,                                                  -- why it failed
    tries        int         not null default 0,                        -- attempts to start it
    requested_at timestamptz not null,
    checked_at    timestamptz,
    ended_at     timestamptz,
    check ((ended_at is not null) = (state in ('succeeded', 'failed')))
);
create index request_open on control.request (number) where state in ('waiting', 'started');

-- Responses by caller and idempotency key, for a day.
create table control.idempotency (
    caller          text        not null,
    idempotency_key text        not null,
    request_hash    bytea       not null,
    answer          jsonb       not null,
    answered_at     timestamptz not null,
    primary key (caller, idempotency_key)
);
create index idempotency_old on control.idempotency (answered_at);

-- Record a response under a key; return whether the key is new, and else whether its request is the same, and the first response. Of two
-- calls with one key at the same time, the second waits for the first.
create function control.record_answer(of_caller text, of_key text, of_hash bytea, of_answer jsonb,
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
revoke all on function control.record_answer(text, text, bytea, jsonb) from public;

-- Insert a request and notify, in one transaction.
create function control.submit_request(of_caller text, of_key text, of_hash bytea, of_what text, of_vendor text, of_params jsonb,
                            out is_new boolean, out is_same boolean, out answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    id uuid := gen_random_uuid();
    moment timestamptz := clock_timestamp();
begin
    select r.is_new, r.is_same, r.answer into is_new, is_same, answer
    from control.record_answer(of_caller, of_key, of_hash, jsonb_build_object('id', id, 'requested_at', moment)) r;
    if is_new then
        insert into control.request (request_id, caller, what, vendor, params, requested_at)
        values (id, of_caller, of_what, of_vendor, of_params, moment);
        perform pg_notify('tributary_requests', of_what);
    end if;
end
$$;
revoke all on function control.submit_request(text, text, bytea, text, text, jsonb) from public;

-- Insert pushed rows into the inbox, always under a sender of pushes: a vendor's signed delivery can't be forged from here. The hash
-- identifies the push, not its body: a row that returns to an earlier value is a change.
create function control.push(of_caller text, of_key text, of_hash bytea, of_vendor text, of_table text, of_body bytea,
                             out is_new boolean, out is_same boolean, out answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    id text := gen_random_uuid();
    content_hash text := encode(sha256(convert_to(id, 'UTF8') || of_body), 'hex');
begin
    select r.is_new, r.is_same, r.answer into is_new, is_same, answer
    from control.record_answer(of_caller, of_key, of_hash, jsonb_build_object('id', id, 'requested_at', clock_timestamp())) r;
    if is_new then
        perform control.receive('push.' || of_vendor || '.' || of_table, of_body, content_hash, id,
                                jsonb_build_object('caller', of_caller));
    end if;
end
$$;
revoke all on function control.push(text, text, bytea, text, text, bytea) from public;
grant execute on function control.receive(text, bytea, text, text, jsonb), control.submit_request(text, text, bytea, text, text, jsonb),
    control.push(text, text, bytea, text, text, bytea) to tributary_load;
