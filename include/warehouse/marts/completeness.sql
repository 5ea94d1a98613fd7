-- What the numbers of a mart lack, per vendor and business date: dead letters with their money (absolute amounts, so that a withdrawal does
-- not hide a deposit), and sums held back because one of their rows is a dead letter. It also lists days that were never loaded, if they have dead letters or an alert reported them as late.
-- state: `reconciled`; `explained` (it differs, and open dead letters account for it); `accepted` (by an operator, though it differs);
-- `changed since` (a webhook, push or poll changed the mart's money after the reconciliation: the next one compares it); `differs` (it
-- does not add up since such a change); `not compared` (no check compared the mart's money: the control total compares positions and account
-- values, the roll-forward compares transactions; or the mart has no money); `rejected` (only pushed rows, or none, were loaded); `not loaded`.
create view mart.completeness as
with loaded as (
    select s.mart, l.vendor, l.business_date, bool_or(l.pulled <> 'pushed') as is_whole
    from control.ledger l join mart.source s using (entity) where l.stage = 'load' and l.vendor <> 'salesforce'
    group by 1, 2, 3
), changed as (
    select distinct s.mart, c.vendor, c.business_date from control.uncompared_change c join mart.source s on s.entity = c.entity and s.has_money
), verdict as (
    select vendor, business_date, sum(breaks) as breaks, bool_or(not is_passed) as is_off, bool_or(accepted_by is not null) as is_accepted,
           bool_or(note = '' and check_name = 'control total') as is_totaled, bool_or(note = '' and check_name = 'roll-forward') as is_rolled
    from control.reconciliation_in_force group by 1, 2
), rejected as (
    select vendor, business_date, max(recorded_at) as rejected_at from control.rejection group by 1, 2
), dead as (
    select s.mart, l.vendor, coalesce(l.row_date, l.business_date) as business_date, l.dead_letter_id,
           max(abs(l.money_usd)) filter (where s.has_money) as money_usd, bool_or(s.has_money and l.is_money_unreadable) as is_unreadable
    from control.dead_letter l cross join jsonb_to_recordset(l.describes) as d(entity text)
    join mart.source s on s.entity = d.entity or d.entity = '*'
    where l.status = 'open' and l.vendor <> 'salesforce'
    group by 1, 2, 3, 4
), missing as (
    select mart, vendor, business_date, count(*) as dead_letters, sum(money_usd) as dead_money_usd,
           count(*) filter (where is_unreadable) as dead_money_unreadable
    from dead group by 1, 2, 3
), days as (
    select mart, vendor, business_date from loaded
    union
    select s.mart, r.vendor, r.business_date from rejected r
    join mart.source s on exists (select from control.ledger l where l.vendor = r.vendor and l.entity = s.entity and l.stage = 'load')
    union
    select s.mart, t.vendor, t.business_date from control.lateness t
    join (select distinct vendor, table_name, entity from control.ledger where stage = 'load') l using (vendor, table_name)
    join mart.source s using (entity)
    union
    select mart, vendor, business_date from (select mart, vendor, business_date from missing union select * from changed) m
    where exists (select from loaded l where (l.mart, l.vendor) = (m.mart, m.vendor) and l.business_date >= m.business_date)
), held_back as (  -- sums of which a row is a dead letter, in the newest load of each day
    select s.mart, l.vendor, l.business_date, sum((t.notes ->> 'money_held_back')::numeric) as held_back_usd
    from (
        select distinct on (vendor, table_name, entity, business_date) vendor, table_name, entity, business_date, pull_id
        from control.ledger where stage = 'load' order by vendor, table_name, entity, business_date, ledger_id desc
    ) l
    join control.ledger t on t.stage = 'transform' and (t.pull_id, t.vendor, t.table_name, t.entity)
                                                     = (l.pull_id, l.vendor, l.table_name, l.entity)
    join mart.source s on s.entity = l.entity and s.has_money
    group by 1, 2, 3
)
select mart, vendor, business_date,
       case when r.vendor is not null and l.is_whole is not true then 'rejected'
            when l.mart is null then case when c.mart is null then 'not loaded' else 'changed since' end
            when v.vendor is null or not exists (
                select from mart.source s where s.mart = days.mart and s.has_money
                  and case s.entity when 'transaction' then v.is_rolled else v.is_totaled end) then 'not compared'
            when v.is_off then 'differs' when c.mart is not null then 'changed since' when v.is_accepted then 'accepted'
            when v.breaks > 0 then 'explained' else 'reconciled' end as state,
       coalesce(m.dead_letters, 0) as dead_letters, coalesce(m.dead_money_usd, 0) as dead_money_usd,
       coalesce(m.dead_money_unreadable, 0) as dead_money_unreadable, coalesce(b.held_back_usd, 0) as held_back_usd,
       coalesce(v.breaks, 0) as breaks, r.rejected_at
from days
left join loaded l using (mart, vendor, business_date)
left join changed c using (mart, vendor, business_date)
left join verdict v using (vendor, business_date)
left join missing m using (mart, vendor, business_date)
left join held_back b using (mart, vendor, business_date)
left join rejected r using (vendor, business_date);
