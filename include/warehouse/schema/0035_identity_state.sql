-- Results of the last full identity run, with which the next runs match only what changed. They can be deleted at any time: the next run then
-- matches all records. Loaders read it; nobody else does, because it has the names of persons and hashes of their tax ids.
create table control.identity_state (
    name    text  not null,
    part    int   not null,
    content bytea not null,           -- Parquet, in parts of up to 64 MB
    primary key (name, part)
);
alter table control.identity_state alter content set storage external;  -- Parquet is compressed already
revoke select on control.identity_state from tributary_read;
grant select (name, part) on control.identity_state to tributary_read;

alter table control.identity_run
    add column matched bigint,        -- records that were compared again; null if all were
    add column crowded bigint;        -- blocks of records that were not compared, because too many records share their values

-- What the decisions of reviewers taught the last full run about the rules for people: how often the pairs of a rule are one person.
create table control.identity_lesson (
    rule     text             primary key,
    answers  bigint           not null,   -- answers on pairs of the rule
    same     bigint           not null,   -- answers that both records are one person
    expected double precision not null,   -- share of such answers that the built-in numbers expect
    bits     double precision not null,   -- added to the score of every pair of the rule
    run_id   text             not null
);
grant select on control.identity_lesson to tributary_web;
