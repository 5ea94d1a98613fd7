-- One row per dead letter of vendors and of Salesforce, open or closed, with the records that its row may describe.
create view control.dead_letter_row as
select l.dead_letter_id, l.vendor, l.table_name, l.business_date, l.stage, l.row_key, array_to_string(l.public_reasons, '; ') as reasons,
       l.money_usd, l.is_money_unreadable, l.status, l.run_id, l.died_at, l.closed_at, l.discarded_by, l.discard_reason,
       (select string_agg(distinct d.entity || coalesce(' ' || coalesce(d.key, d.parent), ''), ', ')
        from jsonb_to_recordset(l.describes) as d(entity text, key text, parent text)) as describes,
       case when l.row_key is null then null when l.vendor = 'salesforce' then jsonb_build_object('salesforce', l.row_key)
            else jsonb_build_object('vendor', l.vendor, 'table', l.table_name, 'day', l.business_date, 'key', l.row_key) end as lineage
from control.dead_letter l;
grant select on control.dead_letter_row to tributary_web;
