-- Open dead letters of vendors, grouped by table, business date, step and reasons.
create view control.open_dead_letters as
select vendor, table_name, business_date, stage, array_to_string(public_reasons, '; ') as reasons, count(*) as dead_letters,
       sum(abs(money_usd)) as money_usd, count(*) filter (where is_money_unreadable) as money_unreadable, min(died_at) as since
from control.dead_letter where status = 'open' and vendor <> 'salesforce'
group by vendor, table_name, business_date, stage, public_reasons;
grant select on control.open_dead_letters to tributary_web;
