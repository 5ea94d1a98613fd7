-- Backups and restore drills: whether a backup is missing, and how much a restore would lose and how long it would take.

-- Backups that succeeded. The container `backup` records each; an alert is sent if the last one is too old.
create table control.backup (
    known_at    timestamptz primary key,       -- time of the fingerprint that is stored with the backup
    kind        text        not null check (kind in ('full', 'diff', 'incr')),
    recorded_at timestamptz not null default clock_timestamp()
);
comment on table control.backup is 'Backups that succeeded, as recorded by the container that makes them';
revoke insert, update, delete on control.backup from tributary_load;

-- Drills: the newest backup was restored into a scratch server and checked like a restored database.
create table control.recovery_drill (
    run_id         text             primary key,
    started_at     timestamptz      not null,
    known_at       timestamptz,                  -- time of the fingerprint with which the restored database was compared
    recovered_to   timestamptz,                  -- last transaction that was restored
    rpo_seconds    double precision,             -- age of that transaction when the drill started: what a loss of the host would have lost
    rto_seconds    double precision not null,    -- from the start of the restore to the end of the checks
    problems       text[]           not null,    -- empty: the restored database is as it was, to the cent
    recorded_at    timestamptz      not null default clock_timestamp()
);
comment on table control.recovery_drill is 'Restore drills with their measured recovery point and recovery time';
revoke update, delete on control.recovery_drill from tributary_load;
