-- Who saw what: entries about records that a person reads, and about dead letters that a newer pull replaced.

-- As in 0014_audit.sql, and the reading role may record what it shows a person.
create or replace function control.record_audit(of_actor text, of_action text, of_subject text, of_details jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_id bigint;
begin
    if of_action !~ '^[a-z_]+\.(opened|read|called|signed_in|signed_out|refused)$'
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
grant execute on function control.record_audit(text, text, text, jsonb) to tributary_read;

-- Dead letters that a newer pull or a closed finding made obsolete.
create trigger audit_superseded after update on control.dead_letter for each row
    when (old.status is distinct from new.status and new.status = 'superseded')
    execute function control.audit_row('dead_letter.superseded', 'replayed_by', 'dead_letter_id',
        'vendor table_name business_date row_key status');
