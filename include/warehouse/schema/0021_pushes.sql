-- Pushed records: only the API's role inserts them, the gateway's role inserts only webhooks, and a caller can withdraw its push.

-- Insert a delivery and notify, in one transaction; return whether it is new. A copy of a pending delivery notifies again, as the first
-- notification may be lost. Only the functions below call it.
create function control.insert_delivery(of_sender text, of_body bytea, of_hash text, of_event text, of_headers jsonb) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
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
revoke all on function control.insert_delivery(text, bytea, text, text, jsonb) from public;

-- Insert a webhook. No sender of webhooks has a name with a dot, so a compromised gateway can't forge a push or a withdrawal.
create or replace function control.receive(of_sender text, of_body bytea, of_hash text, of_event text, of_headers jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
begin
    if strpos(of_sender, '.') > 0 then
        raise exception 'Only the API may insert a delivery of %', of_sender using errcode = 'insufficient_privilege';
    end if;
    return control.insert_delivery(of_sender, of_body, of_hash, of_event, of_headers);
end
$$;

-- As in 0017_at_rest.sql, but by `insert_delivery`.
create or replace function control.push(of_caller text, of_key text, of_hash bytea, of_id text, of_vendor text, of_table text, of_body bytea,
                                        out is_new boolean, out is_same boolean, out answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
begin
    select r.is_new, r.is_same, r.answer into is_new, is_same, answer
    from control.record_answer(of_caller, of_key, of_hash, jsonb_build_object('id', of_id, 'requested_at', clock_timestamp())) r;
    if is_new then
        perform control.insert_delivery('push.' || of_vendor || '.' || of_table, of_body, of_id, of_id,
                                        jsonb_build_object('caller', of_caller));
    end if;
end
$$;

-- Insert the withdrawal of a push, at most one for each push. Only the caller that pushed may withdraw: else `is_own` is false, and nothing
-- is inserted.
create function control.withdraw_push(of_caller text, of_key text, of_hash bytea, of_push text,
                                      out is_own boolean, out is_new boolean, out is_same boolean, out answer jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
    pushed_as text;
begin
    select sender, headers ->> 'caller' = of_caller into pushed_as, is_own
    from control.inbox where event_id = of_push and sender like 'push.%';
    is_own := coalesce(is_own, false);
    if not is_own then
        return;
    end if;
    select r.is_new, r.is_same, r.answer into is_new, is_same, answer
    from control.record_answer(of_caller, of_key, of_hash, jsonb_build_object('id', of_push, 'requested_at', clock_timestamp())) r;
    if is_new then
        perform control.insert_delivery('withdraw.' || split_part(pushed_as, '.', 2) || '.' || split_part(pushed_as, '.', 3), '',
                                        of_push, of_push, jsonb_build_object('caller', of_caller));
    end if;
end
$$;
revoke all on function control.withdraw_push(text, text, bytea, text) from public;
grant execute on function control.withdraw_push(text, text, bytea, text) to tributary_load, tributary_api;

create index inbox_withdrawn on control.inbox (event_id) where sender like 'withdraw.%';

create trigger audit_withdrawal after insert on control.inbox for each row when (new.sender like 'withdraw.%')
    execute function control.audit_row('api.withdrawal_requested', '', 'sender', 'event_id headers');
create trigger audit_withdrawn after update on control.inbox for each row
    when (new.sender like 'withdraw.%' and old.processed_at is null and new.processed_at is not null)
    execute function control.audit_row('api.withdrawn', '', 'sender', 'event_id error outcome');

-- The triggerer connects to the outside: it stores events of Salesforce, whose senders are topics (`/event/...`), and nothing else.
create function control.refuse_foreign_sender() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception 'This role may not insert a delivery of %', new.sender using errcode = 'insufficient_privilege';
end
$$;
revoke all on function control.refuse_foreign_sender() from public;
create trigger listener_inserts_events before insert on control.inbox for each row
    when (current_user = 'tributary_listener' and new.sender not like '/%') execute function control.refuse_foreign_sender();
