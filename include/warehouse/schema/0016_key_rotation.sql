-- Rotation of keys. `place` orders the keys of a purpose: for `hash` it is their order in the chain; of `audit`, only the last one may seal.
alter table control.key add column place int;
update control.key k set place = n.place
from (select purpose, key_id, row_number() over (partition by purpose order by added_at, key_id) as place from control.key) n
where n.purpose = k.purpose and n.key_id = k.key_id;
alter table control.key alter column place set not null;
create unique index key_place on control.key (purpose, place);
comment on column control.key.place is 'Order of the keys of a purpose, from 1; the last one is in use';

create or replace function control.adopt_keys(purposes text[], key_ids text[], fingerprints text[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select pg_advisory_xact_lock(hashtext('tributary keys'));
    insert into control.key (purpose, key_id, fingerprint, place)
    select n.purpose, n.key_id, n.fingerprint, row_number() over (partition by n.purpose order by n.nth)
    from unnest(purposes, key_ids, fingerprints) with ordinality n(purpose, key_id, fingerprint, nth)
    where not exists (select from control.key k where k.purpose = n.purpose)
    on conflict (purpose, key_id) do nothing;
end;

-- Salesforce keeps the external keys that it was given first. A rotation of the hash key lifts the hashes in our keys, and records here
-- which hash each of them was. Without Salesforce, or without a rotation, the table is empty.
create table control.first_hash (
    first_hash     text        collate "C" primary key,
    current_hash   text        collate "C" not null unique
);
comment on table control.first_hash is 'The hashes in keys of Salesforce records, as they were before rotations of the hash key';
revoke insert, update, delete on control.first_hash from tributary_load;
revoke select on control.first_hash from tributary_load, tributary_read;

-- Replace each hash that is a part of a key. Only a lifted hash contains a tilde.
create function control.replace_hashes(key text, is_first_wanted boolean) returns text
language sql stable parallel safe security definer set search_path = pg_catalog, pg_temp
begin atomic
    select string_agg(coalesce(case when is_first_wanted then f.first_hash else f.current_hash end, part), ':' order by nth)
    from unnest(string_to_array(key, ':')) with ordinality p(part, nth)
    left join control.first_hash f on part = case when is_first_wanted then f.current_hash else f.first_hash end;
end;
revoke execute on function control.replace_hashes(text, boolean) from public;
grant execute on function control.replace_hashes(text, boolean) to tributary_load, tributary_read, tributary_listener;

-- The key of a record in Salesforce, and back. Short enough that a query contains them rather than calls them.
create function control.first_key(key text) returns text language sql stable parallel safe
return case when strpos(key, '~') = 0 then key else control.replace_hashes(key, true) end;
create function control.current_key(key text) returns text language sql stable parallel safe
return case when length(key) < 64 then key else control.replace_hashes(key, false) end;

-- Appends seals to the chain, one by one, so that no seal in a wrong place can block it. A retired key seals nothing.
create or replace function control.seal_audit(first bigint, entry_ids bigint[], of_key text, macs bytea[], at timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if first <> (select coalesce(max(position), 0) + 1 from control.audit_seal) then
        raise exception 'The chain of the audit trail does not end before position %', first;
    end if;
    if of_key <> (select key_id from control.key where purpose = 'audit' order by place desc limit 1) then
        raise exception 'The audit key % is retired', of_key using errcode = 'insufficient_privilege';
    end if;
    insert into control.audit_seal (position, entry_id, key_id, mac, sealed_at)
    select first + place - 1, n.entry_id, of_key, n.mac, at from unnest(entry_ids, macs) with ordinality n(entry_id, mac, place);
end
$$;
