-- Every alert to people: recorded before it is sent, in the transaction around the sending, so that none is sent twice.
create table control.alert (
    alert_id    bigint      generated always as identity primary key,
    kind        text        not null,              -- failed, deadline, late, dead_letters, breaks, digest, ...
    dag_id      text        not null default '',
    run_id      text        not null default '',
    task        text        not null default '',   -- with its map index: pull[2]
    subject     text        not null default '',   -- what else it is about: a deadline, a try, a day
    title       text        not null,
    recorded_at timestamptz not null default clock_timestamp(),
    sent_at     timestamptz,                       -- null: recorded only, such as a rejected input
    unique (kind, dag_id, run_id, task, subject)
);
create index alert_recent on control.alert (recorded_at);

-- Missed deadlines are noticed in the triggerer; it asks whether the run's input was rejected.
grant insert on control.alert to tributary_hear;
grant select (alert_id, kind, dag_id, run_id), update (sent_at) on control.alert to tributary_hear;
