-- Records that Salesforce rejected, grouped by object and error code.
create view control.salesforce_rejection as
select table_name as object, array_to_string(public_reasons, '; ') as error_code, count(*) as records, min(died_at) as since, max(run_id) as run_id
from control.dead_letter where vendor = 'salesforce' and status = 'open' group by 1, 2;
grant select on control.salesforce_rejection to tributary_web;
