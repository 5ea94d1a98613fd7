-- The keys that this database was written with, by fingerprint. The keys themselves are never stored here.
create table control.key (
    purpose        text        not null,
    key_id         text        not null,
    fingerprint    text        not null,
    added_at       timestamptz not null default clock_timestamp(),
    primary key (purpose, key_id)
);
comment on table control.key is 'Fingerprints of the firm''s keys; a keyring that differs is refused';
revoke insert, update, delete on control.key from tributary_load;
grant select on control.key to tributary_load, tributary_read;

comment on column control.refresh_token.first_hash is 'SHA-256 of the token in the connection';

-- Which key a token is sealed under, for the rotation of keys.
alter table control.refresh_token add column key_id text not null generated always as (split_part(sealed, ':', 1)) stored;
grant select (vendor, grant_name, exchanged_at, key_id) on control.refresh_token to tributary_read;

-- Registers the first keys of each purpose. Later ones are added by the owner, so that a mistyped key can't register itself.
create function control.adopt_keys(purposes text[], key_ids text[], fingerprints text[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
    select pg_advisory_xact_lock(hashtext('tributary keys'));
    insert into control.key (purpose, key_id, fingerprint)
    select n.purpose, n.key_id, n.fingerprint from unnest(purposes, key_ids, fingerprints) n(purpose, key_id, fingerprint)
    where not exists (select from control.key k where k.purpose = n.purpose)
    on conflict (purpose, key_id) do nothing;
end;
revoke execute on function control.adopt_keys(text[], text[], text[]) from public;
grant execute on function control.adopt_keys(text[], text[], text[]) to tributary_load;
