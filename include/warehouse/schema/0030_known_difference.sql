-- Accounts whose value the vendor states, but whose positions it never delivers. An operator declares each one, with a reason and a last day.
-- The newest declaration about a day applies. One whose last day is before its first day ends the earlier ones from its first day on.
create table control.known_difference (
    known_difference_id bigint      generated always as identity primary key,
    vendor              text        not null,
    account_key         text        not null,              -- the vendor's key of the account
    first_date          date        not null,              -- the business dates to which it applies
    last_date           date        not null check (last_date <= first_date + 366),
    reason              text        not null check (trim(reason) <> ''),
    declared_by         text        not null check (declared_by <> ''),
    declared_at         timestamptz not null default clock_timestamp(),
    run_id              text        not null
);
create index known_difference_newest on control.known_difference (vendor, account_key, known_difference_id desc);
comment on table control.known_difference is 'Accounts whose value the vendor states, but whose positions it never delivers; entries are only added';
revoke update, delete on control.known_difference from tributary_load;
create trigger audit after insert on control.known_difference for each row
    execute function control.audit_row('difference.declared', 'declared_by', 'vendor account_key', 'known_difference_id first_date last_date reason run_id');

-- Rows that a push records while a check reads are not compared by it; see `control.uncompared_change`.
alter table control.reconciliation add column read_at timestamptz;
comment on column control.reconciliation.read_at is 'When the check began to read; null in rows of earlier versions';
