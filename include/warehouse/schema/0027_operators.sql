-- What operators do in the browser. The role of Airflow's API server acts through the functions below alone; each takes the actor, and a trigger
-- writes the audit trail.

-- The content of open dead letters that an operator asked to see, masked by the task that read it from staging. It is disposed of after two days.
create table control.dead_letter_content (
    dead_letter_id bigint      primary key references control.dead_letter on delete cascade,
    cells          jsonb       not null check (jsonb_typeof(cells) = 'array'),  -- [{"name", "text", "is_bad"}]
    shown_at       timestamptz not null default clock_timestamp(),
    run_id         text        not null
);
comment on table control.dead_letter_content is 'Content of dead letters for the Operations pages: masked, for two days';
insert into control.retention (dataset, aged_by, minimum) values ('control.dead_letter_content', 't.shown_at', '2 days');

-- An operator's decision about a business date of a vendor. `fingerprint` is that of the checks that the operator saw.
create table control.day_decision (
    decision_id    bigint      generated always as identity primary key,
    vendor         text        not null,
    business_date  date        not null,
    decision       text        not null check (decision in ('signed off', 'accepted')),
    note           text        not null check (btrim(note) <> '' and length(note) <= 500),
    fingerprint    text        not null,
    decided_by     text        not null check (decided_by <> ''),
    decided_at     timestamptz not null default clock_timestamp()
);
create index day_decision_newest on control.day_decision (vendor, business_date, decision_id desc);
comment on table control.day_decision is 'Days that an operator signed off, or accepted although a check failed, with the reason';
revoke insert, update, delete on control.day_decision from tributary_load;
grant select on control.day_decision to tributary_web;
insert into control.retention (dataset, aged_by, minimum) values ('control.day_decision', 't.business_date', '6 years');
create trigger audit_signed_off after insert on control.day_decision for each row when (new.decision = 'signed off')
    execute function control.audit_row('day.signed_off', 'decided_by', 'vendor business_date', 'decision_id note fingerprint');
create trigger audit_accepted after insert on control.day_decision for each row when (new.decision = 'accepted')
    execute function control.audit_row('day.acceptance_requested', 'decided_by', 'vendor business_date', 'decision_id note fingerprint');

-- Identifies the figures of a day's newest checks: if a later run finds other figures, the day has changed.
create function control.fingerprint_day(of_vendor text, of_day date) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(md5(string_agg(concat_ws('|', check_name, trim_scale(expected), trim_scale(actual), breaks, explained, is_passed), ';'
                                   order by check_name)), '')
    from (select distinct on (check_name) * from control.reconciliation
          where vendor = of_vendor and business_date = of_day order by check_name, checked_at desc) newest
$$;

-- Records a decision about a day; refuses it if the day is not as the operator saw it. Returns the decision's id.
create function control.decide_day(of_actor text, of_decision text, of_vendor text, of_day date, of_note text, seen text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    has_failed boolean := exists (
        select from (select distinct on (check_name) is_passed from control.reconciliation
                     where vendor = of_vendor and business_date = of_day order by check_name, checked_at desc) newest
        where not is_passed);
    is_checked boolean := exists (select from control.reconciliation where vendor = of_vendor and business_date = of_day);
    new_id bigint;
begin
    perform pg_advisory_xact_lock(hashtext('day decision'), hashtext(of_vendor || of_day));
    if btrim(of_note) = '' then
        raise exception 'The note is empty: write why' using errcode = 'invalid_parameter_value';
    elsif seen <> control.fingerprint_day(of_vendor, of_day) then
        raise exception 'The day has changed since you opened the page: reload it' using errcode = 'invalid_parameter_value';
    elsif of_decision = 'signed off' and not is_checked then
        raise exception 'The day has not been reconciled yet: wait for its run' using errcode = 'invalid_parameter_value';
    elsif of_decision = 'signed off' and has_failed then
        raise exception 'A check of the day failed: accept the day, or correct it at the vendor and run it again'
            using errcode = 'invalid_parameter_value';
    elsif of_decision = 'signed off' and exists (
              select from control.uncompared_change where vendor = of_vendor and business_date = of_day) then
        raise exception 'Rows changed the day after its last check: wait for the next one' using errcode = 'invalid_parameter_value';
    elsif of_decision = 'accepted' and not has_failed
          and not exists (select from control.rejection where vendor = of_vendor and business_date = of_day) then
        raise exception 'No check of the day failed, so there is nothing to accept' using errcode = 'invalid_parameter_value';
    end if;
    insert into control.day_decision (vendor, business_date, decision, note, fingerprint, decided_by)
    values (of_vendor, of_day, of_decision, btrim(of_note), seen, of_actor) returning decision_id into new_id;
    return new_id;
end
$$;
revoke all on function control.decide_day(text, text, text, date, text, text) from public;
grant execute on function control.decide_day(text, text, text, date, text, text) to tributary_web, tributary_load;

-- What Salesforce has accepted of each vendor's latest day, after each full sync: the holdings' dollars (control total) and units (roll-forward).
create table control.crm_total (
    vendor         text        not null,
    business_date  date        not null,
    check_name     text        not null check (check_name in ('control total', 'roll-forward')),
    due            numeric     not null,          -- of the holdings that are to be in Salesforce
    accepted       numeric     not null,          -- of the holdings that Salesforce has accepted
    run_id         text        not null,
    recorded_at    timestamptz not null default clock_timestamp(),
    primary key (vendor, business_date, check_name)
);
comment on table control.crm_total is 'Totals of the holdings in Salesforce, by the business date that was current at the sync';
grant select on control.crm_total to tributary_web;
insert into control.retention (dataset, aged_by, minimum) values ('control.crm_total', 't.business_date', '6 years');

-- Changes of the thresholds of the business rules. The newest row is in force; `thresholds` are those that differ from the defaults.
create table control.threshold_change (
    change_id      bigint      generated always as identity primary key,
    thresholds     jsonb       not null check (jsonb_typeof(thresholds) = 'object'),
    changes        jsonb       not null check (jsonb_typeof(changes) = 'object'),  -- name -> {"from", "to"}
    changed_by     text        not null check (changed_by <> ''),
    changed_at     timestamptz not null default clock_timestamp()
);
comment on table control.threshold_change is 'Thresholds of the business rules: who changed which, with the old and the new value';
revoke insert, update, delete on control.threshold_change from tributary_load;
grant select on control.threshold_change to tributary_web;
create trigger audit after insert on control.threshold_change for each row
    execute function control.audit_row('thresholds.changed', 'changed_by', 'change_id', 'changes');

-- Records new thresholds; refuses them if another user has changed them meanwhile. Returns the change's id.
create function control.change_thresholds(of_actor text, of_thresholds jsonb, of_changes jsonb, seen bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    new_id bigint;
begin
    perform pg_advisory_xact_lock(hashtext('thresholds'));
    if seen is distinct from (select max(change_id) from control.threshold_change) then
        raise exception 'Another user has changed the thresholds since you opened the page: reload it'
            using errcode = 'invalid_parameter_value';
    elsif of_changes = '{}' then
        raise exception 'No threshold is different from the one in force' using errcode = 'invalid_parameter_value';
    end if;
    insert into control.threshold_change (thresholds, changes, changed_by) values (of_thresholds, of_changes, of_actor)
    returning change_id into new_id;
    return new_id;
end
$$;
revoke all on function control.change_thresholds(text, jsonb, jsonb, bigint) from public;
grant execute on function control.change_thresholds(text, jsonb, jsonb, bigint) to tributary_web, tributary_load;
