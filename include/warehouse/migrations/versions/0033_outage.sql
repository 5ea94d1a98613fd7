-- A vendor that a run can't reach: from its first failed try until every task that met it has its answer.
create table control.outage (
    outage_id    bigint      generated always as identity primary key,
    vendor       text        not null,
    run_id       text        not null,
    tasks        text[]      not null,               -- that still wait: pull[2]
    error        text        not null,               -- of the newest failed try
    since        timestamptz not null,               -- the first failed request
    tries        integer     not null check (tries > 0),
    failed_at    timestamptz not null default clock_timestamp(),
    over_at      timestamptz
);
create unique index outage_open on control.outage (vendor, run_id) where over_at is null;
grant select, insert, update on control.outage to tributary_load;
grant select on control.outage to tributary_read;
