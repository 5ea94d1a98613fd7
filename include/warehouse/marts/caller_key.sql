-- API keys, without their secrets.
create view control.caller_key as
select key_id, caller, array_to_string(scopes, ' ') as scopes, created_at, expires_at, revoked_at, last_used_on, changed_by,
       case when revoked_at is not null then 'revoked' when expires_at < now() then 'expired' else 'valid' end as state
from control.api_key;
grant select on control.caller_key to tributary_web;
