-- Pages that decide identity matches and manage API keys, for the role of Airflow's API server.

-- What the preview of a decision reads: who is linked now, who owns which account, and what it is worth.
grant select on warehouse.identity, warehouse.account_owner, warehouse.account_value, warehouse.outside_value, warehouse.source_key, control.absence
    to tributary_web;
grant execute on function control.replace_hashes(text, boolean) to tributary_web;

-- The pages look up few records by our ids.
create index person_id_open on warehouse.person (person_id) where recorded_to is null;
create index person_household_open on warehouse.person (household_id) where recorded_to is null;
create index household_id_open on warehouse.household (household_id) where recorded_to is null;
create index account_id_open on warehouse.account (account_id) where recorded_to is null;
create index outside_account_id_open on warehouse.outside_account (outside_account_id) where recorded_to is null;
create index outside_account_household_open on warehouse.outside_account (household_id) where recorded_to is null;

-- API keys change by the functions below alone, so that the audit trail names the user.
alter table control.api_key
    add column changed_by text check (changed_by <> '');   -- the user; null if the schema's owner did it by the command line
drop trigger audit on control.api_key;
drop trigger audit_changed on control.api_key;
create trigger audit after insert on control.api_key for each row
    execute function control.audit_row('api_key.created', 'changed_by', 'key_id', 'caller scopes expires_at');
create trigger audit_changed after update of caller, scopes, expires_at, revoked_at, secret_hash on control.api_key for each row
    execute function control.audit_row('api_key.changed', 'changed_by', 'key_id', 'caller scopes expires_at revoked_at');

create function control.create_api_key(actor text, new_key text, of_caller text, new_hash bytea, of_scopes text[], valid_days int) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if valid_days is null or valid_days not between 1 and 366 then
        raise exception 'A key must be valid for 1 to 366 days' using errcode = 'check_violation';
    end if;
    insert into control.api_key (key_id, caller, secret_hash, scopes, expires_at, changed_by)
    values (new_key, of_caller, new_hash, of_scopes, clock_timestamp() + make_interval(days => valid_days), actor);
end
$$;

-- Create a key with the scopes of the caller's newest key, and let the older ones expire; return false if the caller has no key.
create function control.rotate_api_key(actor text, new_key text, of_caller text, new_hash bytea, valid_days int, overlap interval) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    same_scopes text[] := (select scopes from control.api_key where caller = of_caller and revoked_at is null order by created_at desc limit 1);
begin
    if same_scopes is null then
        return false;
    end if;
    perform control.create_api_key(actor, new_key, of_caller, new_hash, same_scopes, valid_days);
    update control.api_key set expires_at = least(expires_at, clock_timestamp() + overlap), changed_by = actor
    where caller = of_caller and key_id <> new_key and revoked_at is null and expires_at > clock_timestamp() + overlap;
    return true;
end
$$;

-- Revoke a key at once; return false if it is unknown or already revoked.
create function control.revoke_api_key(actor text, of_key text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    update control.api_key set revoked_at = clock_timestamp(), changed_by = actor where key_id = of_key and revoked_at is null;
    return found;
end
$$;

revoke all on function control.create_api_key(text, text, text, bytea, text[], int), control.rotate_api_key(text, text, text, bytea, int, interval),
    control.revoke_api_key(text, text) from public;
grant execute on function control.create_api_key(text, text, text, bytea, text[], int), control.rotate_api_key(text, text, text, bytea, int, interval),
    control.revoke_api_key(text, text) to tributary_web;
