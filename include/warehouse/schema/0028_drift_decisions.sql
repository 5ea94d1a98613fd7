-- Fields of single records that an operator left to Salesforce: a sync never writes them, and a read-back does not report their edits.
alter table control.crm_state
    add column left_fields text[] not null default '{}',
    add column left_by     text;                  -- the user who made the newest decision
create trigger audit_left after update of left_fields on control.crm_state for each row
    when (old.left_fields is distinct from new.left_fields)
    execute function control.audit_row('salesforce.left_to_users', 'left_by', 'sobject external_key', 'left_fields');

-- The newest difference of each record.
create index crm_difference_newest on control.crm_difference (sobject, external_key, difference_id desc);
