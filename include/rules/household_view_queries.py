"""The queries of the household view. They read the marts of planning and risk, so that rules and analysts see the same numbers.

Bind parameters: day, result_days.
"""

from __future__ import annotations

import sqlalchemy as sa

from include import canonical

# Rows of these vendors never change again, so findings on them would never close.
_UNUSED = "(select vendor from control.unused_vendor)"

# The newest business date loaded by a current pull; no row if a vendor's newest day is not reconciled, or failed to reconcile.
SETTLED_DAY = sa.text("""
select max(business_date) as day, clock_timestamp() as read_at from control.ledger
where stage = 'load' and pulled = 'current' having not exists (select from control.unsettled_vendor)
""")

HOUSEHOLDS = """
select h.household_id, k.vendor, h.representative_id
from mart.household_as_one('infinity') h
join warehouse.source_key k on k.entity = 'household' and k.id = h.household_id
where h.household_id = h.anchor_id
"""

PERSONS = """
select p.person_id, k.vendor, p.household_id, p.representative_id, p.birth_date
from mart.person_as_one('infinity') p
join warehouse.source_key k on k.entity = 'person' and k.id = p.person_id
where p.person_id = p.anchor_id
"""

PLANS = """
select household_id, plan_id, changed_on from mart.plan_freshness where is_base
"""

# Results of each household's leading plan and of its goals: one row per day. Results based on balances that could not be
# refreshed are left out.
CHANCES = f"""
select p.household_id, 'The plan' as title, p.plan_id as of_id, r.computed_on, r.probability_ratio, p.target_low_ratio
from mart.plan_freshness p
join warehouse.plan_result r on r.plan_id = p.plan_id and r.recorded_to is null
where p.is_leading and p.vendor not in {_UNUSED} and r.scenario = 'current' and r.is_stale is not true and r.probability_ratio is not null
  and r.computed_on between %(day)s - %(result_days)s and p.computed_on
union all
select g.household_id, 'A goal (' || coalesce(g.goal_type, 'of no type') || ')', g.goal_id, r.computed_on, r.probability_ratio,
       g.target_low_ratio
from mart.goal_health g
join warehouse.goal_result r on r.goal_id = g.goal_id and r.recorded_to is null
where g.is_leading and g.vendor not in {_UNUSED} and g.is_named and r.scenario = 'current' and r.probability_ratio is not null
  and r.computed_on between %(day)s - %(result_days)s and g.computed_on
"""  # noqa: S608

RISKS = f"""
select person_id, portfolio_id, client_risk_number, portfolio_risk_number from mart.risk_alignment
where client_risk_number is not null and portfolio_risk_number is not null and vendor not in {_UNUSED}
"""  # noqa: S608

QUESTIONNAIRES = """
select person_id, version, completed_on from mart.questionnaire where completed_on is not null
"""

ASSETS = f"""
select household_id, copied_usd, managed_usd from mart.plan_assets where vendor not in {_UNUSED}
"""  # noqa: S608

# Active accounts of people aged 69 or older that their vendors list, with the person's share of the value. A copy counts if no other record of
# its account does.
RETIREMENT = """
with held as (
    select a.account_id, a.account_type, v.market_value_usd
    from warehouse.account a
    left join lateral (
        select market_value_usd from warehouse.account_value v where v.account_id = a.account_id and v.recorded_to is null
          and v.business_date > %(day)s - 15
        order by business_date desc limit 1
    ) v on true
    where a.valid_to is null and a.recorded_to is null and not a.is_past_only and a.is_counted is not false
      and coalesce(a.is_active, a.close_date is null or a.close_date > %(day)s)
      and not exists (select from control.absence n where n.vendor = a.vendor and n.entity = 'account' and n.source_key = a.account_key)
)
select p.anchor_id, h.account_id, h.account_type, round(sum(h.market_value_usd * o.share_ratio), 2)
from mart.person_as_one('infinity') p
join warehouse.account_owner o on o.person_id = p.person_id and o.valid_to is null and o.recorded_to is null
join held h on h.account_id = o.account_id
where p.birth_date <= %(day)s - interval '69 years' and o.role is distinct from 'joint'
  and not exists (select from mart.account_copy_known('infinity') c join held b on b.account_id = c.preferred_id
                  where c.account_id = h.account_id and b.market_value_usd is not null)
group by 1, 2, 3
"""

POLICIES = f"""
select h.anchor_id, p.insurance_policy_id, p.death_benefit_usd, p.beneficiaries
from warehouse.insurance_policy p
join mart.household_as_one('infinity') h on h.household_id = p.household_id
where p.valid_to is null and p.recorded_to is null and p.vendor not in {_UNUSED}
  and not exists (select from control.absence a where a.vendor = p.vendor and a.entity = 'insurance_policy'
                                                  and a.source_key = p.insurance_policy_key)
"""  # noqa: S608

# Days are New York's, as those of business dates and of accounts. An envelope is replaced if another one for the same purpose (of the
# same subject, if it states no purpose) was sent after it ended.
ENVELOPES = f"""
select anchor_id, key, purpose, status, (sent_at at time zone 'America/New_York')::date, (completed_at at time zone 'America/New_York')::date,
       (ended_at at time zone 'America/New_York')::date, coalesce(matter <> '' and newest_sent_at > ended_at, false), recipients, signed
from (
    select h.anchor_id, e.vendor, e.is_final, e.vendor || ':' || e.envelope_key as key, e.purpose, e.status, e.sent_at, e.completed_at, e.ended_at, e.recipients, e.signed,
           m.matter, max(e.sent_at) over (partition by h.anchor_id, m.matter) as newest_sent_at
    from mart.envelope e
    join mart.household_as_one('infinity') h on h.household_id = e.household_id
    cross join lateral (select lower(trim(coalesce(e.purpose, e.subject, ''))) as matter) m
    where e.status <> 'draft'
) sent
where is_final or vendor not in {_UNUSED}
"""  # noqa: S608

# An account of several vendors was opened on the earliest day.
OPENINGS = """
select anchor_id, max(opened_on)
from (
    select h.anchor_id, min(coalesce(a.open_date, first.seen_on)) over (partition by coalesce(i.identity_id, a.account_id)) as opened_on
    from warehouse.account a
    join mart.household_as_one('infinity') h on h.household_id = a.household_id
    join lateral (select min(f.valid_from) as seen_on from warehouse.account f where f.account_id = a.account_id) first on true
    left join warehouse.identity i on i.entity = 'account' and i.id = a.account_id and i.recorded_to is null
    where a.valid_to is null and a.recorded_to is null and not a.is_past_only
) account
group by 1
"""

DEALS = """
select d.deal_id, 'salesforce', h.anchor_id, h.representative_id, d.won_on, d.is_served
from mart.deal d
left join mart.household_as_one('infinity') h on h.household_id = d.household_id
where d.is_won
"""

_ENTITIES = (
    "plan", "goal", "plan_result", "goal_result", "outside_account", "outside_value", "insurance_policy", "portfolio",
    "questionnaire", "client_risk", "portfolio_risk",
)  # fmt: skip
_PARENTS = ", ".join(f"('{name}', '{canonical.named(name).parent}')" for name in _ENTITIES)

# Households and persons whose planning or risk rows may be dead letters of the vendor's newest day. A null id: the dead letter may concern
# any of them.
SILENT = f"""
with declared(entity, parent_entity) as (values {_PARENTS}), fed as (
    select distinct vendor, table_name, max(business_date) over (partition by vendor) as business_date
    from control.ledger where stage = 'load' and pulled = 'current' and entity in (select entity from declared) and vendor not in {_UNUSED}
), about as (
    select distinct l.vendor, d.entity, d.key, d.parent
    from control.dead_letter l join fed f using (vendor, table_name, business_date)
    cross join jsonb_to_recordset(l.describes) as d(entity text, key text, parent text)
    where l.status = 'open' and (d.entity = '*' or d.entity in (select entity from declared))
), thing as (
    select 'household' as entity, household_id as id, household_id, null::bigint as person_id from warehouse.household
        where recorded_to is null
    union all select 'person', person_id, household_id, person_id from warehouse.person where recorded_to is null
    union all select 'plan', plan_id, household_id, null from warehouse.plan where recorded_to is null
    union all select 'goal', goal_id, household_id, null from warehouse.goal where recorded_to is null
    union all select 'outside_account', outside_account_id, household_id, null from warehouse.outside_account where recorded_to is null
    union all select 'insurance_policy', insurance_policy_id, household_id, null from warehouse.insurance_policy
        where recorded_to is null
    union all select 'portfolio', portfolio_id, null, person_id from warehouse.portfolio where recorded_to is null
    union all select 'questionnaire', questionnaire_id, null, person_id from warehouse.questionnaire where recorded_to is null
), meant as (
    select a.parent, t.household_id, t.person_id
    from about a
    left join declared d using (entity)
    left join warehouse.source_key k on k.vendor = a.vendor
         and (k.entity = d.parent_entity and k.source_key = a.parent or k.entity = a.entity and k.source_key = a.key)
    left join thing t on t.entity = k.entity and t.id = k.id
), people as (
    select m.household_id, o.anchor_id, o.household_id as home_id from meant m
    join mart.person_as_one('infinity') o on o.person_id = m.person_id
)
select distinct 'household', h.anchor_id from meant m join mart.household_as_one('infinity') h on h.household_id = m.household_id
union select 'household', home_id from people where home_id is not null
union select 'person', anchor_id from people
union select 'household', null from meant where household_id is null and person_id is null and parent is null
"""  # noqa: S608

# Vendors with open findings of these rules; the view may no longer have records of them.
OPEN_VENDORS = sa.text("""
select distinct vendor from control.finding where closed_at is null and rule = any(:rules)
""")
