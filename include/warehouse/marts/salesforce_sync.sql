-- What each sync sent to Salesforce, by object.
create view control.salesforce_sync as
select recorded_at as synced_at, table_name as object, entity, sent, created, updated, failed, unprocessed, seconds, run_id
from control.ledger where vendor = 'salesforce' and stage = 'crm';
grant select on control.salesforce_sync to tributary_web;
