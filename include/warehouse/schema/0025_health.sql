-- What health signals read: the publication of the audit chain, and rights of the API, which serves metrics to a monitor.

-- The newest published head of the audit chain. The files themselves are outside the database, and the processes that serve metrics can't
-- read them. It proves nothing: `verify-audit` reads the files.
create table control.audit_head (
    only_row     boolean     primary key default true check (only_row),
    position     bigint      not null check (position > 0),
    published_at timestamptz not null
);
comment on table control.audit_head is 'When the newest head of the audit chain was published, for health signals; it has one row';

-- Counts, sums, times and states, and no content.
grant select (vendor, business_date) on control.rejection to tributary_api;
grant select (money_usd, is_money_unreadable) on control.dead_letter to tributary_api;
grant select (vendor, since, over_at) on control.outage to tributary_api;
grant select (called_at, vendor, status, latency_ms) on control.api_call to tributary_api;
grant select (entity, records, since) on control.crm_held to tributary_api;
grant select (is_approved, requested_at) on control.crm_question to tributary_api;
grant select (trouble, trouble_since) on control.crm_topic to tributary_api;
grant select (sent, failed, unprocessed) on control.ledger to tributary_api;
grant select on control.rate_budget to tributary_api, tributary_web;

-- The newest load of a table, and deliveries that failed.
create index ledger_newest_load on control.ledger (vendor, table_name, business_date) where stage = 'load';
create index inbox_failed on control.inbox (received_at) where error is not null;
