-- One row per dead letter and reason: a row that two checks rejected is listed under both.
create view control.dead_letter_reason as
select d.dead_letter_id, d.vendor, d.table_name, d.business_date, d.stage, reason, d.row_key, d.describes, d.money_usd, d.status, d.run_id,
       d.died_at, d.discarded_by, d.lineage
from control.dead_letter_row d
join control.dead_letter l using (dead_letter_id)
cross join lateral unnest(l.public_reasons) as reason;
grant select on control.dead_letter_reason to tributary_web;
