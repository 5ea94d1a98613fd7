-- A day becomes visible as a whole, and only when it reconciles. What is not in it is counted in money, too.

-- What a dead row may describe, so that nothing of it is taken as removed while its dead letter is open:
-- [{"entity", "key"}] where its canonical key can be read, else [{"entity", "parent"}], else [{"entity"}]: anything of that entity.
-- Dead letters from before this version may describe anything.
alter table control.dead_letter
    add money_usd           numeric(28, 2),                 -- of the table's money column; null where the table has none
    add is_money_unreadable boolean     not null default false,
    add row_date            date,                           -- the day that the row is about, where it can be read
    add describes           jsonb       not null default '[{"entity": "*"}]',
    add extracted_at        timestamptz not null default '-infinity';  -- of its pull: only a pull as new as this closes it

alter table control.ledger
    add dead_money_usd        numeric(28, 2),               -- money of the rows that died in this step, as far as it can be read
    add dead_money_unreadable bigint not null default 0;    -- rows among them whose money can't be read

-- Vendor days that a check refused: nothing of them was loaded, and the last good day stays in force.
create table control.rejection (
    run_id         text        not null,
    vendor         text        not null,
    business_date  date        not null,
    step           text        not null check (step in ('stage', 'validate', 'load')),
    reason         text        not null,
    recorded_at    timestamptz not null default clock_timestamp(),
    primary key (run_id, vendor, business_date, step)
);
create index rejection_by_day on control.rejection (vendor, business_date);

-- Accounts whose stated value is not the sum of their positions.
create table control.control_total_break (
    run_id         text        not null,
    vendor         text        not null,
    business_date  date        not null,
    account_id     bigint      not null,
    expected       numeric     not null,
    actual         numeric     not null,
    difference     numeric     not null,
    is_explained   boolean     not null,                    -- by an open dead letter of the account
    primary key (run_id, vendor, business_date, account_id)
);

grant select, insert, update, delete on control.rejection, control.control_total_break to tributary_load;
grant select on control.rejection, control.control_total_break to tributary_read;

-- Which canonical entities a mart is made of, and whose money is in it.
create table mart.source (mart text not null, entity text not null, has_money boolean not null, primary key (mart, entity));
insert into mart.source (mart, entity, has_money)
select mart, entity, entity in ('position', 'transaction', 'outside_value') from (values
    ('aum_by_household', array['position', 'account', 'account_owner', 'household']),
    ('aum_by_representative', array['position', 'account', 'account_owner', 'household', 'representative']),
    ('aum_by_asset_class', array['position', 'account', 'account_owner', 'security']),
    ('net_flows', array['transaction', 'account', 'account_owner', 'household']),
    ('net_worth', array['position', 'account', 'account_owner', 'household', 'outside_account', 'outside_value']),
    ('openings_and_closings', array['account']),
    ('plan_freshness', array['plan', 'plan_result', 'household']),
    ('plan_assets', array['plan', 'outside_account', 'outside_value', 'position', 'account', 'account_owner', 'household']),
    ('goal_health', array['goal', 'goal_result', 'plan', 'household']),
    ('risk_alignment', array['client_risk', 'portfolio', 'portfolio_risk', 'person']),
    ('questionnaire', array['questionnaire', 'person']),
    ('questionnaire_age', array['questionnaire', 'person']),
    ('out_of_line', array['goal_result', 'plan_result', 'client_risk', 'portfolio_risk', 'questionnaire', 'household']),
    ('envelope', array['envelope', 'envelope_recipient', 'envelope_event'])
) as mart(mart, entities) cross join unnest(entities) as entity;

-- What each mart's numbers of a day lack, to be joined by mart, vendor and business date: dead letters with their money, and sums
-- that are held back because one of their rows is a dead letter.
-- state: reconciled, explained (it differs, and open dead letters account for it), not compared (the vendor states no totals),
-- rejected (nothing of the day was loaded).
create view mart.completeness as
with loaded as (
    select distinct s.mart, l.vendor, l.business_date
    from control.ledger l join mart.source s using (entity) where l.stage = 'load' and l.vendor <> 'salesforce'
), checked as (
    select distinct on (vendor, business_date, check_name) vendor, business_date, check_name, breaks, explained, is_passed, note
    from control.reconciliation r
    where is_passed or not exists (select from control.rejection x
                                   where (x.run_id, x.vendor, x.business_date) = (r.run_id, r.vendor, r.business_date))
    order by vendor, business_date, check_name, checked_at desc
), verdict as (
    select vendor, business_date, sum(breaks) as breaks, bool_and(is_passed) as is_passed, bool_or(note = '') as is_compared
    from checked group by 1, 2
), rejected as (
    select vendor, business_date, max(recorded_at) as rejected_at from control.rejection group by 1, 2
), days as (
    select mart, vendor, business_date from loaded
    union
    select s.mart, r.vendor, r.business_date from rejected r
    join mart.source s on exists (select from control.ledger l where l.vendor = r.vendor and l.entity = s.entity and l.stage = 'load')
), dead as (
    select s.mart, l.vendor, coalesce(l.row_date, l.business_date) as business_date, l.dead_letter_id,
           max(l.money_usd) filter (where s.has_money) as money_usd, bool_or(s.has_money and l.is_money_unreadable) as is_unreadable
    from control.dead_letter l cross join jsonb_to_recordset(l.describes) as d(entity text)
    join mart.source s on s.entity = d.entity or d.entity = '*'
    where l.status = 'open' and l.vendor <> 'salesforce'
    group by 1, 2, 3, 4
), missing as (
    select mart, vendor, business_date, count(*) as dead_letters, sum(money_usd) as dead_money_usd,
           count(*) filter (where is_unreadable) as dead_money_unreadable
    from dead group by 1, 2, 3
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
       case when l.mart is null then 'rejected' when v.vendor is null or not v.is_compared then 'not compared'
            when v.breaks > 0 then 'explained' else 'reconciled' end as state,
       coalesce(m.dead_letters, 0) as dead_letters, coalesce(m.dead_money_usd, 0) as dead_money_usd,
       coalesce(m.dead_money_unreadable, 0) as dead_money_unreadable, coalesce(b.held_back_usd, 0) as held_back_usd, coalesce(v.breaks, 0) as breaks,
       r.rejected_at
from days
left join loaded l using (mart, vendor, business_date)
left join verdict v using (vendor, business_date)
left join missing m using (mart, vendor, business_date)
left join held_back b using (mart, vendor, business_date)
left join rejected r using (vendor, business_date);

-- The day in force of each vendor, and what was rejected since.
create view mart.day_in_force as
select f.vendor, f.business_date, f.loaded_at, f.run_id, r.business_date as rejected_date, r.recorded_at as rejected_at,
       r.step as rejected_in, r.reason
from (
    select distinct on (vendor) vendor, business_date, recorded_at as loaded_at, run_id from control.ledger
    where stage = 'load' and pulled = 'present' order by vendor, business_date desc, ledger_id desc
) f
left join lateral (
    select * from control.rejection r where r.vendor = f.vendor and r.recorded_at > f.loaded_at
    order by recorded_at desc limit 1
) r on true;

grant select on mart.source, mart.completeness, mart.day_in_force to tributary_load, tributary_read;
