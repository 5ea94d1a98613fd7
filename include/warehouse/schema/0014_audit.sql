-- The audit trail: who did what to which data, and when. The database writes most entries itself, in the transaction of the change.
create table control.audit (
    entry_id      bigint      generated always as identity primary key,
    happened_at   timestamptz not null,
    database_user text        not null,           -- the role that wrote it
    actor         text        not null,           -- the person or program, as the component that it used reports it
    action        text        not null,           -- data.loaded, identity.decided, document.opened, ...
    subject       text        not null,           -- what it was done to, as ids and keys
    details       jsonb       not null            -- counts, ids and reasons; no values of clients
);
create index audit_by_time on control.audit using brin (happened_at);
create index audit_by_subject on control.audit (subject, entry_id);
create index audit_by_actor on control.audit (actor, entry_id);
comment on table control.audit is 'Who did what to which data, and when. Entries are only added; control.audit_seal proves it';

-- The chain over the entries: each seal is an HMAC of its entry and of the seal before. A transaction that commits late gets its place in the
-- chain when it is sealed, so positions have no gaps.
create table control.audit_seal (
    position      bigint      primary key check (position > 0),
    entry_id      bigint      not null unique references control.audit,
    key_id        text        not null,           -- of the firm's audit key
    mac           bytea       not null check (octet_length(mac) = 32),
    sealed_at     timestamptz not null            -- a part of what the seal proves
);
comment on table control.audit_seal is 'The chain of HMACs over control.audit, under a key that the database does not hold';

revoke insert, update, delete on control.audit from tributary_load;
revoke insert, update, delete on control.audit_seal from tributary_load;

create function control.refuse_change() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '% only grows: % is refused', tg_table_name, lower(tg_op) using errcode = 'insufficient_privilege';
end
$$;
create trigger only_grows before update or delete or truncate on control.audit for each statement execute function control.refuse_change();
create trigger only_grows before update or delete or truncate on control.audit_seal
    for each statement execute function control.refuse_change();

-- Appends seals to the chain, one by one, so that no seal in a wrong place can block it.
create function control.seal_audit(first bigint, entry_ids bigint[], of_key text, macs bytea[], at timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if first <> (select coalesce(max(position), 0) + 1 from control.audit_seal) then
        raise exception 'The chain of the audit trail does not end before position %', first;
    end if;
    insert into control.audit_seal (position, entry_id, key_id, mac, sealed_at)
    select first + place - 1, n.entry_id, of_key, n.mac, at from unnest(entry_ids, macs) with ordinality n(entry_id, mac, place);
end
$$;
revoke all on function control.seal_audit(bigint, bigint[], text, bytea[], timestamptz) from public;
grant execute on function control.seal_audit(bigint, bigint[], text, bytea[], timestamptz) to tributary_load;

-- Records what changes no table, such as the opening of a document. The time and the role are the session's. Entries about changes come from the
-- triggers below alone: no role can report a load or a decision that did not happen.
create function control.record_audit(of_actor text, of_action text, of_subject text, of_details jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_id bigint;
begin
    if of_action !~ '^[a-z_]+\.(opened|read|called|signed_in|signed_out|refused)$' or (session_user = 'tributary_api' and of_action <> 'api.read') then
        raise exception 'Only the database writes entries with the action %', of_action using errcode = 'insufficient_privilege';
    end if;
    if octet_length(of_details::text) > 65536 then
        raise exception 'The details of an entry are too long';
    end if;
    insert into control.audit (happened_at, database_user, actor, action, subject, details)
    values (clock_timestamp(), session_user, left(of_actor, 200), of_action, left(of_subject, 500), of_details)
    returning entry_id into new_id;
    return new_id;
end
$$;
revoke all on function control.record_audit(text, text, text, jsonb) from public;
grant execute on function control.record_audit(text, text, text, jsonb) to tributary_load, tributary_api, tributary_web;

-- Records a changed row. Arguments: the action; the column with the actor, or empty if the run is the actor; the columns of the subject; the
-- columns of the details. Of an update, the details also show the earlier values of those that changed.
create function control.audit_row() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed jsonb := to_jsonb(case tg_op when 'DELETE' then old else new end);
    earlier jsonb := case tg_op when 'UPDATE' then to_jsonb(old) else '{}' end;
    shown   text[] := string_to_array(tg_argv[3], ' ');
begin
    insert into control.audit (happened_at, database_user, actor, action, subject, details)
    select clock_timestamp(), session_user,
           left(coalesce(changed ->> tg_argv[1], 'run ' || (changed ->> 'run_id'), session_user), 200),
           tg_argv[0],
           (select left(string_agg(changed ->> name, ' ' order by place), 500)
            from unnest(string_to_array(tg_argv[2], ' ')) with ordinality n(name, place)),
           (select coalesce(jsonb_object_agg(name, changed -> name), '{}') from unnest(shown) name where changed -> name <> 'null')
           || (select case when count(*) = 0 then '{}' else jsonb_build_object('before', jsonb_object_agg(name, earlier -> name)) end
               from unnest(shown) name where earlier ? name and earlier -> name is distinct from changed -> name);
    return null;
end
$$;

-- Otherwise a role could attach the trigger to a temporary table of its own, and write any entry.
revoke all on function control.audit_row(), control.refuse_change() from public;

-- Loads, and days that were accepted although they do not add up.
create trigger audit after insert on control.ledger for each row when (new.stage = 'load')
    execute function control.audit_row('data.loaded', '', 'vendor table_name business_date',
        'ledger_id run_id pull_id pulled entity produced inserted updated unchanged superseded withdrawn dead');
create trigger audit_sent after insert on control.ledger for each row when (new.stage = 'crm')
    execute function control.audit_row('salesforce.sent', '', 'table_name business_date',
        'ledger_id run_id pull_id entity sent created updated failed unprocessed');
create trigger audit after insert on control.reconciliation for each row when (new.accepted_by is not null)
    execute function control.audit_row('day.accepted', 'accepted_by', 'vendor business_date check_name', 'run_id expected actual breaks note');

create trigger audit_changed after update on control.reconciliation for each row
    when (old.accepted_by is distinct from new.accepted_by or old.is_passed is distinct from new.is_passed)
    execute function control.audit_row('day.check_changed', 'accepted_by', 'vendor business_date check_name',
        'run_id expected actual breaks note accepted_by is_passed');

-- Dead letters that a person discarded or a run replayed.
create trigger audit after update on control.dead_letter for each row
    when (old.status is distinct from new.status and new.status = 'discarded')
    execute function control.audit_row('dead_letter.discarded', 'discarded_by', 'dead_letter_id',
        'vendor table_name business_date row_key status discard_reason');
create trigger audit_replayed after update on control.dead_letter for each row
    when (old.status is distinct from new.status and new.status = 'replayed')
    execute function control.audit_row('dead_letter.replayed', 'replayed_by', 'dead_letter_id', 'vendor table_name business_date row_key status');

create trigger audit_reopened after update on control.dead_letter for each row when (old.status <> 'open' and old.status <> new.status)
    execute function control.audit_row('dead_letter.reopened', '', 'dead_letter_id', 'vendor table_name business_date row_key status');
create trigger audit_closed after insert on control.dead_letter for each row when (new.status <> 'open')
    execute function control.audit_row('dead_letter.inserted_closed', '', 'dead_letter_id', 'vendor table_name business_date row_key status');

-- Decisions about identities, and which vendor's value counts.
create trigger audit after insert on control.identity_decision for each row
    execute function control.audit_row('identity.decided', 'decided_by', 'entity left_id right_id',
        'decision_id is_same reason replaces is_withdrawn');

create trigger audit after insert or update or delete on control.survivorship for each row
    execute function control.audit_row('survivorship.changed', '', 'vendor attribute', 'rank');

-- Approvals of Salesforce changes. `difference` is the hash of the change that the person was shown.
create trigger audit after insert on control.crm_question for each row
    execute function control.audit_row('salesforce.approval_requested', '', 'entity question', 'question_id records difference run_id');
create trigger audit_decided after update on control.crm_question for each row
    when ((old.is_approved, old.decided_by, old.decided_at, old.reason) is distinct from (new.is_approved, new.decided_by, new.decided_at, new.reason))
    execute function control.audit_row('salesforce.decided', 'decided_by', 'entity question',
        'question_id records difference is_approved reason');
create trigger audit_used after update on control.crm_question for each row when (old.used_by is distinct from new.used_by)
    execute function control.audit_row('salesforce.approval_used', 'used_by', 'entity question', 'question_id records difference');

-- Signed documents: stored, held, released.
create trigger audit after insert on control.document for each row
    execute function control.audit_row('document.stored', '', 'vendor envelope_key kind', 'content_hash bytes retain_until');
create trigger audit_held after update on control.document for each row
    execute function control.audit_row('document.hold_changed', 'held_by', 'vendor envelope_key kind',
        'content_hash retain_until held_for held_by held_at');

-- Keys of the firm, and API keys.
create trigger audit after insert on control.key for each row
    execute function control.audit_row('key.added', '', 'purpose key_id', 'fingerprint');
create trigger audit after insert on control.api_key for each row
    execute function control.audit_row('api_key.created', '', 'key_id', 'caller scopes expires_at');
create trigger audit_changed after update of caller, scopes, expires_at, revoked_at, secret_hash on control.api_key for each row
    execute function control.audit_row('api_key.changed', '', 'key_id', 'caller scopes expires_at revoked_at');

-- Requests and pushes of programs, and subscribers of events.
create trigger audit_pushed after insert on control.inbox for each row when (new.sender like 'push.%')
    execute function control.audit_row('api.pushed', '', 'sender', 'event_id headers');
create trigger audit after insert on control.request for each row
    execute function control.audit_row('api.requested', 'caller', 'what vendor', 'request_id run_id params');
create trigger audit after insert on control.outbound_subscriber for each row
    execute function control.audit_row('subscriber.added', '', 'subscriber', 'state types vendors');
create trigger audit_changed after update on control.outbound_subscriber for each row when (old.state is distinct from new.state)
    execute function control.audit_row('subscriber.changed', '', 'subscriber', 'state reason types vendors');

-- The loading role no longer changes what the audit trail refers to. Nothing is dated by who inserts it.
revoke update, delete on control.ledger from tributary_load;
revoke delete on control.reconciliation, control.dead_letter, control.crm_question, control.crm_difference, control.api_call, control.finding, control.lateness,
    control.request, control.rejection, control.alert from tributary_load;
revoke insert on control.identity_decision from tributary_load;
grant insert (entity, left_id, right_id, is_same, reason, decided_by, is_withdrawn, replaces) on control.identity_decision
    to tributary_load, tributary_web;
revoke insert, update on control.crm_question from tributary_load;
grant insert (entity, question, records, difference, wording, run_id), update (is_approved, reason, decided_by, decided_at, used_by)
    on control.crm_question to tributary_load;
revoke update on control.document from tributary_load;
grant update (held_for, held_by, held_at) on control.document to tributary_load;

-- The API server of production: it shows identity pages and signed documents, and stores the decisions of data stewards.
grant usage on schema control, warehouse to tributary_web;
grant select on control.identity_review, control.identity_link, control.identity_decision, control.identity_run, control.document,
    warehouse.person, warehouse.household, warehouse.account, warehouse.outside_account to tributary_web;
