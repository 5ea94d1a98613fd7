-- Fields of single records that an operator left to Salesforce: a sync never writes them, and a read-back does not report their edits.
alter table control.crm_state
    add column left_fields text[] not null default '{}',
    add column left_by     text;                  -- the user who made the newest decision
create trigger audit_left after update of left_fields on control.crm_state for each row
    when (old.left_fields is distinct from new.left_fields)
    execute function control.audit_row('salesforce.left_to_users', 'left_by', 'sobject external_key', 'left_fields');

-- Lets the next sync create records again that were deleted or merged in Salesforce; returns the number of records.
create function control.create_again(of_actor text, of_object text, of_keys text[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    decided bigint;
begin
    if coalesce(btrim(of_actor), '') = '' then
        raise exception 'State who decides' using errcode = 'invalid_parameter_value';
    end if;
    with deleted as (
        delete from control.crm_state where sobject = of_object and external_key = any(of_keys) and missing is not null
        returning sobject, external_key, salesforce_id, missing
    ), written as (
        insert into control.audit (happened_at, database_user, actor, action, subject, details)
        select clock_timestamp(), session_user, left(of_actor, 200), 'salesforce.created_again', left(concat_ws(' ', sobject, external_key), 500),
               jsonb_build_object('salesforce_id', salesforce_id, 'missing', missing)
        from deleted
    )
    select count(*) into decided from deleted;
    return decided;
end
$$;
revoke all on function control.create_again(text, text, text[]) from public;
grant execute on function control.create_again(text, text, text[]) to tributary_load;

-- The newest difference of each record.
create index crm_difference_newest on control.crm_difference (sobject, external_key, difference_id desc);
