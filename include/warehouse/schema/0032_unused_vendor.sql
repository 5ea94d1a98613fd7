-- Vendors that the firm used and no longer uses: they have rows in the ledger, and no connection. They are neither late nor unsettled.
create table control.unused_vendor (
    vendor text        primary key,
    since  timestamptz not null default clock_timestamp()
);
comment on table control.unused_vendor is 'Vendors that the firm no longer uses, and since when the DAG watch_lateness finds no connection to them';
grant select on control.unused_vendor to tributary_api, tributary_web;
