"""One household across all vendors, as an example: the one that the most vendors have data on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from rich import box
from rich.table import Table

from include.vendors import VENDORS

_MEMBERS = """
member as (  -- records of households, and of persons who belong to one, by the household that represents them
    select k.identity_id, h.vendor, h.household_id, null::bigint as person_id
    from warehouse.known_household k join warehouse.household h using (household_id)
    where h.valid_to is null and h.recorded_to is null
    union
    select k.identity_id, p.vendor, null, p.person_id
    from warehouse.known_person w join warehouse.person p using (person_id) join warehouse.known_household k on k.household_id = w.household_id
    where p.valid_to is null and p.recorded_to is null
)"""

_CHOSEN = sa.text(f"""
with {_MEMBERS}
select m.identity_id, min(k.name) as name, min(k.vendor) || ':household:' || min(k.household_key) as key, count(distinct m.vendor) as vendors
from member m join warehouse.known_household k on k.household_id = m.identity_id
group by 1 order by 4 desc, 1 limit 1
""")  # noqa: S608

_CONTENTS = sa.text(f"""
with {_MEMBERS}, one as (select * from member where identity_id = :identity_id)
select vendor, 'accounts' as what, count(*)::text as content, sum(value) as usd from (
    select distinct on (a.account_id) a.vendor, a.account_id, v.market_value_usd as value
    from one join warehouse.account a using (household_id)
    join warehouse.account_value v on v.account_id = a.account_id and v.recorded_to is null
    where a.valid_to is null and a.recorded_to is null and a.is_counted order by a.account_id, v.business_date desc
) held group by 1
union all
select o.vendor, case when i.id is null then 'accounts held away' else 'accounts listed again' end, count(*)::text, sum(v.market_value_usd)
from one join warehouse.outside_account o using (household_id)
left join warehouse.identity i on i.entity = 'account' and i.id = o.outside_account_id and i.recorded_to is null
join lateral (select market_value_usd from warehouse.outside_value v where v.outside_account_id = o.outside_account_id
              and v.recorded_to is null order by requested_on desc limit 1) v on true
where o.valid_to is null and o.recorded_to is null group by 1, 2
union all
select vendor, 'plan, ' || scenario, coalesce(round(probability_ratio * 100) || ' %', probability_text) || ' likely to succeed', null from (
    select distinct on (r.vendor, r.scenario) r.* from one join warehouse.plan p using (household_id)
    join warehouse.plan_result r on r.plan_id = p.plan_id and r.recorded_to is null
    where p.valid_to is null and p.recorded_to is null order by r.vendor, r.scenario, p.is_base desc nulls last, r.computed_at desc
) newest where probability_text is not null or probability_ratio is not null
union all
select g.vendor, 'goals', string_agg(distinct g.name, ', '), null from one join warehouse.goal g using (household_id)
where g.valid_to is null and g.recorded_to is null group by 1
union all
select vendor, 'risk number', risk_number::text, null from (
    select distinct on (r.vendor) r.* from one join warehouse.client_risk r on r.person_id = one.person_id and r.recorded_to is null
    order by r.vendor, r.measured_at desc
) newest where risk_number is not null
union all
select vendor, 'portfolio''s risk number', risk_number::text, usd from (
    select distinct on (r.vendor) r.vendor, r.risk_number, r.market_value_usd as usd
    from one join warehouse.portfolio p on p.person_id = one.person_id and p.portfolio_type = 'current' and p.valid_to is null
         and p.recorded_to is null
    join warehouse.portfolio_risk r on r.portfolio_id = p.portfolio_id and r.recorded_to is null order by r.vendor, r.measured_at desc
) newest where risk_number is not null
""")  # noqa: S608


def show_one(reading: sa.Engine) -> Table | None:
    """Return a table of the data that each vendor has on one household: the one with the most vendors. None if there is no household."""
    with reading.connect() as connection:
        chosen = connection.execute(_CHOSEN).first()
        if chosen is None:
            return None
        contents = connection.execute(_CONTENTS, {"identity_id": chosen.identity_id}).all()
        sent = connection.execute(_SENT, {"key": f"%:{chosen.key}"}).all()
    table = Table(
        "vendor", "states", "", "dollars", box=box.SIMPLE, title=f"One household across vendors: {chosen.name}"
    )
    table.columns[3].justify = "right"
    for vendor in VENDORS:
        for row in sorted((row for row in contents if row.vendor == vendor.name), key=lambda row: str(row.what)):
            table.add_row(vendor.title, row.what, row.content, _dollars(row.usd))
    for row in sent:
        table.add_row("Salesforce", row.sobject, f"{row.records}", "")
    return table


_SENT = sa.text("""
with household as (select external_key from control.crm_state where external_key like :key)
select s.sobject, count(*) as records from control.crm_state s, household h
where s.external_key = h.external_key or exists (select from jsonb_each_text(s.payload) f where f.value = h.external_key)
group by 1 order by 1
""")


def _dollars(amount: Any) -> str:
    return "" if amount is None else f"{Decimal(amount):,.2f}"
