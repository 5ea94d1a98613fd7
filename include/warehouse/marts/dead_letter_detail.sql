-- Dead letters of vendors with the accounts, households and persons that their rows may describe, by name, and the content that was shown last.
create view control.dead_letter_detail as
select l.dead_letter_id, l.vendor, l.table_name, l.business_date, l.stage, l.row_key, l.public_reasons,
       array_to_string(l.public_reasons, '; ') as reasons, l.money_usd, l.is_money_unreadable, l.status, l.run_id, l.died_at,
       c.cells, c.shown_at,
       (select string_agg(distinct n.name, ', ')
        from jsonb_to_recordset(l.describes) d(entity text, key text, parent text)
        cross join lateral (values
            (d.entity, d.key),
            (case when d.entity in ('account_owner', 'account_value', 'position', 'transaction') then 'account'
                  when d.entity in ('person', 'registration', 'plan', 'goal', 'plan_result', 'outside_account', 'insurance_policy') then 'household'
                  when d.entity in ('portfolio', 'questionnaire', 'client_risk') then 'person' end, d.parent)) k(entity, key)
        cross join lateral (
            select a.name from warehouse.account a
            where k.entity = 'account' and (a.vendor, a.account_key) = (l.vendor, k.key) and a.valid_to is null and a.recorded_to is null
            union all
            select h.name from warehouse.household h
            where k.entity = 'household' and (h.vendor, h.household_key) = (l.vendor, k.key) and h.valid_to is null and h.recorded_to is null
            union all
            select p.name from warehouse.person p
            where k.entity = 'person' and (p.vendor, p.person_key) = (l.vendor, k.key) and p.valid_to is null and p.recorded_to is null
        ) n) as concerns
from control.dead_letter l left join control.dead_letter_content c using (dead_letter_id)
where l.vendor <> 'salesforce';
grant select on control.dead_letter_detail to tributary_web;
