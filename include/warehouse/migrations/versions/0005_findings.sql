-- What the business rules found. One open row a cause; a closed one stays, and a cause that comes back opens another.

create table control.finding (
    finding_id           bigint generated always as identity primary key,
    vendor               text           not null,
    rule                 text           not null,
    subject_entity       text           not null check (subject_entity in ('account', 'household')),
    subject_id           bigint         not null,
    household_id         bigint,
    representative_id    bigint,                      -- whose Task it is
    severity             text           not null check (severity in ('info', 'warning', 'critical')),
    measure              numeric(28, 4) not null,     -- unit: see the rule
    details              text           not null,
    business_date_opened date           not null,
    opened_run_id        text           not null,
    opened_at            timestamptz    not null default clock_timestamp(),
    changed_at           timestamptz    not null default clock_timestamp(),  -- of what the CRM shows
    business_date_seen   date           not null,     -- the last one
    seen_run_id          text           not null,
    business_date_closed date,
    closed_run_id        text,
    closed_at            timestamptz,
    check (business_date_opened <= business_date_seen and business_date_seen <= business_date_closed),
    check ((closed_at is null) = (business_date_closed is null) and (closed_at is null) = (closed_run_id is null))
);
create unique index finding_open on control.finding (vendor, rule, subject_entity, subject_id) where closed_at is null;

-- Which day each rule judged last, and at what moment it looked: an older look changes nothing.
create table control.judged_day (
    vendor        text        not null,
    rule          text        not null,
    business_date date        not null,
    read_at       timestamptz not null,
    run_id        text        not null,
    primary key (vendor, rule)
);
