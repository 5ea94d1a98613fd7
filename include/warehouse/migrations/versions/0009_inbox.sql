-- What others' webhooks brought, as it came. The truth is here; the bell only says that there is something to read.

create table control.inbox (
    inbox_id      bigint      generated always as identity primary key,
    sender        text        not null,
    received_at   timestamptz not null default clock_timestamp(),
    body          bytea       not null,           -- byte for byte; it may hold persons' names, addresses and answers
    content_hash  text        not null,           -- SHA-256, in hex, of the body without what counts the sender's attempts
    event_id      text,                           -- the sender's own, where it gives one
    headers       jsonb       not null,           -- those that tell of the delivery; no secrets
    copies        bigint      not null default 1, -- how often it came
    last_seen_at  timestamptz not null default clock_timestamp(),
    processed_at  timestamptz,                    -- null while it waits
    error         text,                           -- why it came to nothing; null while it waits, and where all went well
    unique (sender, content_hash)
);
create index inbox_waiting on control.inbox (inbox_id) where processed_at is null;

-- Who reads all else sees that a delivery came and what became of it, and not what it holds.
revoke select on control.inbox from tributary_read;
grant select (inbox_id, sender, received_at, content_hash, event_id, headers, copies, last_seen_at, processed_at, error)
    on control.inbox to tributary_read;

-- Puts a delivery into the inbox and rings, in one transaction; returns whether it is new. One that still waits rings again: the
-- bell that was rung for it may have been lost. The gateway may do this and nothing else: not read, change or delete a delivery.
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
grant usage on schema control to tributary_gateway;
grant execute on function control.receive(text, bytea, text, text, jsonb) to tributary_gateway, tributary_load;
