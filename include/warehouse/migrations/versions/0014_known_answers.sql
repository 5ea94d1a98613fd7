-- The last answer of what has an ETag: asked for again, it is sent only if it has changed. Sensitive fields are tokens already; what
-- else persons wrote is in it.

create table control.known_answer (
    vendor         text        not null,
    table_name     text        not null,
    asked_for      text        collate "C" not null,
    contract       text        not null,          -- hash of the table's declaration by which the rows were read
    etag           text        not null,
    rows           bytea       not null,
    asked_at       timestamptz not null default clock_timestamp(),
    primary key (vendor, table_name, asked_for)
);
revoke select on control.known_answer, control.answer from tributary_read;
grant select (vendor, table_name, asked_for, contract, etag, asked_at) on control.known_answer to tributary_read;
grant select (run_id, vendor, table_name, asked_for, answered_at) on control.answer to tributary_read;
