-- The results of validations, as the pages of data quality show them.
create table control.validation (
    vendor         text        not null,
    table_name     text        not null,
    business_date  date        not null,
    pull_id        text        not null,
    pulled         text        not null,
    run_id         text        not null,
    expectation    text        not null,          -- type, column and bounds; also the reason in dead letters
    check_name     text        not null,          -- type and column: unchanged if the suite's bounds change
    level          text        not null check (level in ('row', 'batch')),
    notes          text        not null,          -- reason for the expectation
    is_passed      boolean     not null,
    is_accepted    boolean     not null,          -- it failed, and an operator accepted this for the run
    rows_checked   bigint      not null,
    rows_missing   bigint      not null,          -- rows without a value, to which it does not apply
    rows_failed    bigint      not null,
    failed_ratio   double precision generated always as (rows_failed / nullif(rows_checked - rows_missing, 0)::double precision) stored,
    measure        double precision,              -- of a batch: the measure that was checked
    validated_at   timestamptz not null default clock_timestamp(),
    primary key (vendor, table_name, business_date, pull_id, expectation)
);
comment on table control.validation is 'Results of each expectation on each partition; counts and measures, no values of rows';
create index validation_failed on control.validation (vendor, business_date) where not is_passed;
create index validation_by_run on control.validation (run_id);
revoke update, delete on control.validation from tributary_load;
grant select on control.validation to tributary_web;

insert into control.retention (dataset, aged_by, minimum) values ('control.validation', 't.validated_at', '30 days');

-- The dead letters of a partition, whatever their status.
create index dead_letter_by_partition on control.dead_letter (vendor, table_name, business_date);

-- The pages of lineage. They read by functions of `mart` that name one record or one load.
grant usage on schema mart to tributary_web;

alter table control.api_call add column method text;
comment on column control.api_call.method is 'HTTP method; null in rows of earlier versions';
create index api_call_by_run on control.api_call (run_id, vendor, table_name);

-- The record that a Salesforce record represents: `vendor:entity:key`, as in its external key after the firm.
create function control.record_of(external_key text) returns text language sql immutable parallel safe
return substr(external_key, strpos(external_key, ':') + 1);
create index crm_state_by_record on control.crm_state (control.record_of(external_key));
-- The last three characters of a Salesforce id only repeat the case of the others.
create index crm_state_by_salesforce_id on control.crm_state (left(salesforce_id, 15));

create index finding_by_subject on control.finding (subject_id);
create index finding_by_household on control.finding (household_id);
create index account_owner_by_household on warehouse.account_owner (household_id);
create index account_owner_by_account on warehouse.account_owner (account_id);
create index account_owner_by_person on warehouse.account_owner (person_id);

create index identity_closed on warehouse.identity (entity, id) where recorded_to is not null;
create index identity_closed_members on warehouse.identity (entity, identity_id) where recorded_to is not null;

-- What a load wrote, and the earlier versions of a record. Ledger ids ascend, so a block range index is small, and costs a load almost nothing.
do $$
declare
    entity text;
begin
    foreach entity in array array['representative', 'household', 'person', 'registration', 'account', 'account_owner', 'security', 'account_value',
                                  'position', 'transaction', 'plan', 'goal', 'plan_result', 'goal_result', 'outside_account', 'outside_value',
                                  'insurance_policy', 'portfolio', 'questionnaire', 'client_risk', 'portfolio_risk', 'template', 'envelope',
                                  'envelope_recipient', 'envelope_event'] loop
        execute format('create index %I on warehouse.%I using brin (source_run_id) with (autosummarize = on)', entity || '_by_load', entity);
        execute format('create index %I on warehouse.%I (%s vendor, %I) where recorded_to is not null', entity || '_closed', entity,
                       case when entity in ('account_value', 'position') then 'business_date,' else '' end, entity || '_key');
    end loop;
end $$;
