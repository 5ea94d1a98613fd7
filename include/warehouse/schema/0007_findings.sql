-- Findings of the business rules. One open row per cause; closed rows stay, and a cause that comes back opens a new row.

create table control.finding (
    finding_id           bigint generated always as identity primary key,
    vendor               text           not null,
    rule                 text           not null,
    subject_entity       text           not null check (subject_entity in ('account', 'household', 'person', 'deal')),
    subject_id           bigint         not null,
    household_id         bigint,
    representative_id    bigint,                      -- owner of the Task
    severity             text           not null check (severity in ('info', 'warning', 'critical')),
    measure              numeric(28, 4) not null,     -- unit: see the rule
    details              text           not null,
    business_date_opened date           not null,
    opened_run_id        text           not null,
    opened_at            timestamptz    not null default clock_timestamp(),
    changed_at           timestamptz    not null default clock_timestamp(),  -- of the fields that the CRM shows
    business_date_seen   date           not null,     -- the last day with this finding
    seen_run_id          text           not null,
    business_date_closed date,
    closed_run_id        text,
    closed_at            timestamptz,
    check (business_date_opened <= business_date_seen and business_date_seen <= business_date_closed),
    check ((closed_at is null) = (business_date_closed is null) and (closed_at is null) = (closed_run_id is null))
);
create unique index finding_open on control.finding (vendor, rule, subject_entity, subject_id) where closed_at is null;

-- The day that each rule evaluated last, and when it read the data: an older read changes nothing.
create table control.evaluated_day (
    vendor        text        not null,
    rule          text        not null,
    business_date date        not null,
    read_at       timestamptz not null,
    run_id        text        not null,
    primary key (vendor, rule)
);
