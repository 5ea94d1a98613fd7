-- Identity across vendors. Records keep their own ids; identity points each to the record that represents all of them.

create table warehouse.identity (
    entity        text        not null check (entity in ('person', 'household', 'account', 'security')),
    id            bigint      not null,           -- of a record: a person, household, account, outside account or security
    identity_id   bigint      not null,           -- of the record that represents it
    how           text        not null default '',
    recorded_from timestamptz not null,
    recorded_to   timestamptz,
    source_run_id text        not null,
    check (recorded_from <= recorded_to)
);
create unique index identity_open on warehouse.identity (entity, id) where recorded_to is null;
create index identity_members on warehouse.identity (entity, identity_id) where recorded_to is null;

-- Which vendor's value wins: the lowest rank. Attribute '' is the default for those that are not listed.
create table control.survivorship (
    vendor    text not null,
    attribute text not null,
    rank      int  not null,
    primary key (vendor, attribute)
);

-- Results of each identity run; a run with unchanged input is not recorded.
create table control.identity_run (
    run_id      text        primary key,
    fingerprint text        not null,           -- hash of its input
    records     bigint      not null,
    people      bigint      not null,
    households  bigint      not null,
    copies      bigint      not null,
    review      bigint      not null,
    changed     bigint      not null,
    seconds     double precision not null,
    ended_at    timestamptz not null default clock_timestamp()
);

-- Why records are the same, by the last run. A negative id is the second person of a record that names two.
create table control.identity_link (
    entity    text   not null check (entity in ('person', 'household', 'account')),
    left_id   bigint not null,
    right_id  bigint not null,
    score     double precision,                   -- null where a rule decided
    agreed    text[] not null,
    differed  text[] not null,
    how       text   not null,
    run_id    text   not null
);
create index identity_link_left on control.identity_link (left_id);
create index identity_link_right on control.identity_link (right_id);

-- Pairs that a data steward should review, by the last run.
create table control.identity_review (
    entity    text   not null check (entity in ('person', 'household', 'account')),
    left_id   bigint not null,
    right_id  bigint not null,
    score     double precision,
    agreed    text[] not null,
    differed  text[] not null,
    how       text   not null,
    run_id    text   not null,
    primary key (entity, left_id, right_id)
);

-- Decisions of data stewards about pairs. The newest one counts, and no run overrules it; if it is withdrawn, the pair is undecided.
-- Loaders add rows and never change or delete them.
create table control.identity_decision (
    decision_id bigint generated always as identity primary key,
    entity      text        not null check (entity in ('person', 'household', 'account')),
    left_id     bigint      not null,
    right_id    bigint      not null,
    is_same     boolean     not null,
    reason      text        not null check (reason <> ''),
    decided_by  text        not null check (decided_by <> ''),
    decided_at  timestamptz not null default clock_timestamp(),
    replaces    bigint      references control.identity_decision,  -- the decision that it replaces
    is_withdrawn boolean    not null default false,  -- withdraws the decision that it replaces, before a run used it
    check (left_id < right_id)
);
create index identity_decision_pair on control.identity_decision (entity, left_id, right_id, decision_id desc);
create unique index identity_decision_next on control.identity_decision (entity, left_id, right_id, replaces) nulls not distinct;
revoke update, delete on control.identity_decision from tributary_load;

-- Securities with one number that are of different kinds: they stay apart until the vendors agree.
create table control.security_conflict (
    number       text        primary key,        -- CUSIP or ISIN
    security_ids bigint[]    not null,
    kinds        text[]      not null,           -- of each: the vendor and its security type
    since        timestamptz not null default clock_timestamp(),
    run_id       text        not null
);

-- The rank of a vendor's value for an attribute; 1000 where none is set.
create function warehouse.rank_of(of_vendor text, of_attribute text) returns int
language sql stable as $$
    select coalesce((select rank from control.survivorship where vendor = of_vendor and attribute = of_attribute),
                    (select rank from control.survivorship where vendor = of_vendor and attribute = ''), 1000)
$$;
