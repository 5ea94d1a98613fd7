-- Data at rest: the database stores no message of a vendor or a program, and no cached response, in clear text.

-- Bodies in the inbox are sealed under an inbox key by the process that receives them; only tasks can open them. Bodies that an earlier
-- version stored in clear text are sealed by the next run of `drain_inbox`.
alter table control.inbox add column key_fingerprint text
    generated always as (case when substr(body, 1, 4) = 'TRB2' then encode(substr(body, 5, 16), 'hex') end) stored;
comment on column control.inbox.key_fingerprint is 'The key in control.key that the body is sealed under; null for an empty or clear body';
comment on column control.inbox.body is 'Sealed, byte for byte as received; empty once the rows of a push were loaded';
comment on column control.inbox.content_hash is
    'Keyed hash of the body without the sender''s retry counters, in hex; for a push, its id. With the sender, the place that the body is sealed for';
grant select (key_fingerprint) on control.inbox to tributary_read;
create index inbox_clear on control.inbox (inbox_id) where key_fingerprint is null and body <> '';

-- No clear body is stored, and none that tasks can't open: the key must be registered.
create function control.require_sealed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if substr(new.body, 1, 4) <> 'TRB2'
       or not exists (select from control.key where purpose = 'inbox' and fingerprint = encode(substr(new.body, 5, 16), 'hex')) then
        raise check_violation using message = 'The body is not sealed under a registered inbox key';
    end if;
    return new;
end
$$;
revoke execute on function control.require_sealed() from public;
create trigger sealed before insert on control.inbox for each row when (new.body <> '') execute function control.require_sealed();

-- The id of a push is part of the place that its body is sealed for, so the API creates it.
drop function control.push(text, text, bytea, text, text, bytea);
create function control.push(of_caller text, of_key text, of_hash bytea, of_id text, of_vendor text, of_table text, of_body bytea,
                             out is_new boolean, out is_same boolean, out answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
begin
    select r.is_new, r.is_same, r.answer into is_new, is_same, answer
    from control.record_answer(of_caller, of_key, of_hash, jsonb_build_object('id', of_id, 'requested_at', clock_timestamp())) r;
    if is_new then
        perform control.receive('push.' || of_vendor || '.' || of_table, of_body, of_id, of_id,
                                jsonb_build_object('caller', of_caller));
    end if;
end
$$;
revoke all on function control.push(text, text, bytea, text, text, text, bytea) from public;
grant execute on function control.push(text, text, bytea, text, text, text, bytea) to tributary_load, tributary_api;

-- Cached responses are sealed under the staging key. Those in clear text are deleted: the vendor is asked again.
truncate control.answer, control.known_answer;
alter table control.answer add constraint is_sealed check (substr(rows, 1, 4) = 'TRB1');
alter table control.known_answer add constraint is_sealed check (substr(rows, 1, 4) = 'TRB1');

-- The manifest of a partition, so that each later reader notices if the partition was altered or exchanged by someone who has the staging
-- key. The audit trail has it as well, in its chain.
alter table control.ledger add column manifest_hash text;
comment on column control.ledger.manifest_hash is 'SHA-256 of the partition''s manifest; null for Salesforce, and in rows of earlier versions';
drop trigger audit on control.ledger;
create trigger audit after insert on control.ledger for each row when (new.stage = 'load')
    execute function control.audit_row('data.loaded', '', 'vendor table_name business_date',
        'ledger_id run_id pull_id pulled entity produced inserted updated unchanged superseded withdrawn dead manifest_hash');
