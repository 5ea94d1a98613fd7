-- Sensitive values that a firm retains, each sealed with a public key. Tasks add values and can't read them; only `tributary_values` opens them.

create table warehouse.sealed_value (
    entity          text        not null,         -- person or account
    id              bigint      not null,         -- our id of the record
    name            text        not null,         -- tax_id or account_number
    value_hash      text        not null,         -- as in the record's versions, which have the history of the value
    sealed          bytea       not null,
    key_fingerprint text        not null generated always as (encode(substr(sealed, 5, 16), 'hex')) stored,
    recorded_from   timestamptz not null default now(),
    source_run_id   bigint      not null,         -- the load that first had the value
    primary key (entity, id, name, value_hash)
);
comment on table warehouse.sealed_value is 'Sensitive values that the firm retains, sealed; one row per record and value';
comment on column warehouse.sealed_value.key_fingerprint is 'The key in control.key that the value is sealed under';

revoke all on warehouse.sealed_value from tributary_load, tributary_read;
grant insert on warehouse.sealed_value to tributary_load;
grant select (entity, id, name, value_hash) on warehouse.sealed_value to tributary_load;
grant select (entity, id, name, key_fingerprint, recorded_from, source_run_id) on warehouse.sealed_value to tributary_read;

-- Nothing is stored that is not sealed under a registered key: a value under another key could never be opened.
create function warehouse.require_sealed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if substr(new.sealed, 1, 4) <> 'TRB3'
       or not exists (select from control.key where purpose = 'value' and fingerprint = encode(substr(new.sealed, 5, 16), 'hex')) then
        raise check_violation using message = 'The value is not sealed under a registered value key';
    end if;
    return new;
end
$$;
revoke execute on function warehouse.require_sealed() from public;
create trigger sealed before insert or update on warehouse.sealed_value for each row execute function warehouse.require_sealed();

insert into control.retention (dataset, aged_by, minimum) values
    ('warehouse.sealed_value',
     '(select case when bool_or(v.ended_at is null) then null else greatest(max(v.ended_at), t.recorded_from) end
       from warehouse.value_version v where (v.entity, v.id, v.name, v.value_hash) = (t.entity, t.id, t.name, t.value_hash))', '30 days');

-- As in 0018_access.sql, except that no role can report that a value was opened: only `control.request_values` writes this entry.
create or replace function control.record_audit(of_actor text, of_action text, of_subject text, of_details jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_id bigint;
begin
    if of_action !~ '^[a-z_]+\.(opened|read|called|signed_in|signed_out|refused)$' or of_action = 'value.opened'
       or (session_user = 'tributary_api' and of_action <> 'api.read')
       or (session_user = 'tributary_read' and of_action not in ('as_of.read', 'exposure.read')) then
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

-- Opening a value takes two transactions, so that no value is read whose entry in the audit trail could still be rolled back.
-- 1. Record who opens which value and why. The record is our id, or vendor and key; records that identity resolution linked to it count too.
create function control.request_values(of_entity text, of_vendor text, of_key text, of_name text, of_actor text, of_reason text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    records jsonb;
    new_id  bigint;
begin
    if coalesce(trim(of_reason), '') = '' or coalesce(trim(of_actor), '') = '' then
        raise exception 'A value is opened only with an actor and a reason' using errcode = 'insufficient_privilege';
    end if;
    with own as (
        select k.id from warehouse.source_key k
        where k.entity = of_entity and case when of_vendor = '' then k.id::text = of_key else (k.vendor, k.source_key) = (of_vendor, of_key) end
    ), root as (
        select coalesce(i.identity_id, o.id) as id
        from own o left join warehouse.identity i on i.entity = of_entity and i.id = o.id and i.recorded_to is null
    ), member as (
        select id from root union select id from own
        union select i.id from warehouse.identity i join root r on i.identity_id = r.id where i.entity = of_entity and i.recorded_to is null
    )
    select jsonb_agg(jsonb_build_object('id', v.id, 'vendor', v.vendor, 'key', v.source_key, 'key_fingerprint', s.key_fingerprint)
                     order by v.vendor, v.source_key)
    into records
    from member m
    join warehouse.value_version v on v.entity = of_entity and v.id = m.id and v.name = of_name and v.valid_to is null and v.recorded_to is null
    join warehouse.sealed_value s on (s.entity, s.id, s.name, s.value_hash) = (v.entity, v.id, v.name, v.value_hash);
    if records is null then
        return null;
    end if;
    insert into control.audit (happened_at, database_user, actor, action, subject, details)
    values (clock_timestamp(), session_user, left(of_actor, 200), 'value.opened',
            left(concat_ws(' ', of_entity, records -> 0 ->> 'vendor', records -> 0 ->> 'key'), 500),
            jsonb_build_object('name', of_name, 'entity', of_entity, 'reason', left(of_reason, 500), 'records', records,
                               'transaction', pg_current_xact_id()::text))
    returning entry_id into new_id;
    return new_id;
end
$$;

-- 2. Read the sealed values of a committed entry of this role, within a minute.
create function control.read_values(of_entry bigint) returns table (vendor text, source_key text, value_hash text, sealed bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select from control.audit a
                   where a.entry_id = of_entry and a.action = 'value.opened' and a.database_user = session_user
                     and a.happened_at > clock_timestamp() - interval '1 minute'
                     and pg_xact_status((a.details ->> 'transaction')::xid8) = 'committed') then
        raise exception 'No committed entry of the audit trail allows this role to read values' using errcode = 'insufficient_privilege';
    end if;
    return query
        select v.vendor, v.source_key, v.value_hash, s.sealed
        from control.audit a cross join lateral jsonb_to_recordset(a.details -> 'records') as r(id bigint)
        join warehouse.value_version v
             on v.entity = a.details ->> 'entity' and v.id = r.id and v.name = a.details ->> 'name'
                and v.valid_to is null and v.recorded_to is null
        join warehouse.sealed_value s on (s.entity, s.id, s.name, s.value_hash) = (v.entity, v.id, v.name, v.value_hash)
        where a.entry_id = of_entry order by 1, 2;
end
$$;
revoke all on function control.request_values(text, text, text, text, text, text), control.read_values(bigint) from public;
grant usage on schema control to tributary_values;
grant execute on function control.request_values(text, text, text, text, text, text), control.read_values(bigint) to tributary_values;
grant select on control.key to tributary_values;
