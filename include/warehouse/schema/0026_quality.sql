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
