"""SQL queries that read a snapshot. For a day before a description was first seen, they use its first version, as the marts do.

Bind parameters: vendor, day, before, run_id, known_at, is_complete, flow_days.
"""

from __future__ import annotations

import sqlalchemy as sa

PRESENT_DAYS = sa.text("""
with present as (
    select distinct on (vendor) vendor, business_date, run_id from control.ledger
    where stage = 'load' and entity = 'position' and pulled = 'current'
    order by vendor, business_date desc, ledger_id desc
)
select p.vendor, p.business_date, p.run_id, e.business_date as before, t.known_at,
       exists (select from control.ledger h where h.vendor = p.vendor and h.stage = 'load' and h.entity = 'transaction'
                 and h.pulled = 'current' and h.recorded_at <= t.known_at) as is_complete,
       r.passed is not null as is_compared, coalesce(r.rolled, false) as is_rolled,
       coalesce(r.passed, false) and p.vendor not in (select vendor from control.unsettled_vendor) as is_balanced,
       p.vendor in (select vendor from control.unused_vendor) as is_unused, clock_timestamp() as read_at
from present p
left join lateral (
    select l.business_date, l.run_id from control.ledger l
    where l.vendor = p.vendor and l.stage = 'load' and l.entity = 'account_value' and l.pulled in ('current', 'historical')
      and l.business_date < p.business_date
    order by l.business_date desc, l.ledger_id desc limit 1
) e on true
left join lateral (
    select max(l.recorded_at) as known_at from control.ledger l
    where l.vendor = p.vendor and l.stage = 'load' and l.entity = 'transaction' and l.run_id = e.run_id
      and l.business_date = e.business_date
) t on true
left join lateral (
    select bool_and(c.is_passed) as passed, bool_or(c.check_name = 'roll-forward' and c.note = '') as rolled
    from control.reconciliation c
    where c.vendor = p.vendor and c.run_id = p.run_id and c.business_date = p.business_date
) r on true
order by p.vendor
""")


def _query_version(entity: str, day: str = "day") -> str:
    """Return a SQL subquery for the version of each instance of a description on a day: the first version that ends after the day.

    Args:
        entity: Name of the description, such as `account`.
        day: Name of the bind parameter with the day.
    """
    return f"""(
    select distinct on ({entity}_id) * from warehouse.{entity}
    where vendor = %(vendor)s and recorded_to is null and not is_past_only
      and (valid_to is null or valid_to > %({day})s)
    order by {entity}_id, valid_from)"""  # noqa: S608


# The owners on the day, as in `mart.account_owner_known`: an owner who follows another after the day does not count.
_OWNER = """(
    select * from (
        select *, min(valid_from) over (partition by account_id) as first_from from warehouse.account_owner
        where vendor = %(vendor)s and recorded_to is null and not is_past_only
    ) version
    where (valid_to is null or valid_to > %(day)s) and valid_from <= greatest(%(day)s, first_from))"""


# The accounts `r.id` that the vendor lists under another key now, as the account `r.identity_id`.
_LEFT_JOIN_REKEYED = """
left join (
    select c.id, c.identity_id from warehouse.identity c
    join warehouse.source_key k on k.id = c.id
    join warehouse.source_key o on o.id = c.identity_id and o.vendor = k.vendor
    where c.entity = 'account' and c.recorded_to is null and k.vendor = %(vendor)s
) r on r.id = account_id"""


def _query_values(day: str) -> str:
    return f"""(
    select coalesce(r.identity_id, account_id) as account_id, sum(market_value_usd) as market_value_usd, sum(cash_usd) as cash_usd
    from warehouse.account_value {_LEFT_JOIN_REKEYED}
    where business_date = %({day})s and vendor = %(vendor)s and recorded_to is null group by 1)"""  # noqa: S608


def _is_active(alias: str, day: str) -> str:
    return f"coalesce({alias}.is_active, {alias}.close_date is null or {alias}.close_date > %({day})s)"


# The net flows between the days `before` and `day`: flows dated after `before`, and flows dated earlier that were entered, corrected or
# reversed after `before` was loaded. The values of `day` include the latter, the values of `before` do not.
_NET_FLOWS = f"""
(select coalesce(r.identity_id, account_id) as account_id, sum(amount_usd) as net_flow_usd
 from (
    select account_id, amount_usd from warehouse.transaction
    where vendor = %(vendor)s and recorded_to is null and status = 'posted' and flow in ('contribution', 'distribution')
      and trade_date between %(day)s - %(flow_days)s and %(day)s
      and (trade_date > %(before)s or (%(is_complete)s and recorded_from > %(known_at)s))
    union all
    select account_id, -amount_usd from warehouse.transaction
    where vendor = %(vendor)s and status = 'posted' and flow in ('contribution', 'distribution')
      and trade_date between %(day)s - %(flow_days)s and %(before)s
      and %(is_complete)s and recorded_from <= %(known_at)s and recorded_to > %(known_at)s
 ) moved {_LEFT_JOIN_REKEYED} group by 1)"""  # noqa: S608

# An account of several vendors is evaluated once, at the vendor of its original.
_IS_NO_COPY = "not exists (select from warehouse.identity c where c.entity = 'account' and c.id = a.account_id and c.recorded_to is null)"
_IS_EVALUATED = f"a.is_counted and {_IS_NO_COPY}"

ACCOUNTS = f"""
select a.account_id, a.household_id, coalesce(a.representative_id, h.representative_id), a.open_date, a.close_date,
       {_is_active("a", "day")}, case when e.account_id is not null then {_is_active("e", "before")} end, n.absent_since,
       v.market_value_usd, v.cash_usd, case when e.is_counted then b.market_value_usd end, coalesce(f.net_flow_usd, 0)
from {_query_version("account")} a
left join {_query_version("account", "before")} e on e.account_id = a.account_id
left join {_query_version("household")} h on h.household_id = a.household_id
left join {_query_values("day")} v on v.account_id = a.account_id
left join {_query_values("before")} b on b.account_id = a.account_id
left join {_NET_FLOWS} f on f.account_id = a.account_id
left join control.absence n on n.vendor = a.vendor and n.entity = 'account' and n.source_key = a.account_key
where {_IS_EVALUATED}
"""  # noqa: S608

# The value, on the day `before`, of the accounts that counted then, and of which only the sleeves count on the day.
SLEEVED = f"""
select o.household_id, round(sum(b.market_value_usd * o.share_ratio), 2)
from {_query_version("account")} a
join {_query_version("account", "before")} e on e.account_id = a.account_id and e.is_counted
join {_query_values("before")} b on b.account_id = a.account_id
join {_OWNER} o on o.account_id = a.account_id
where a.is_counted is false and {_IS_NO_COPY} and o.household_id is not null and o.role is distinct from 'joint'
group by 1
"""  # noqa: S608

OWNERS = f"""
select o.account_id, o.household_id, o.share_ratio
from {_OWNER} o join {_query_version("account")} a on a.account_id = o.account_id and {_IS_EVALUATED}
where o.role is distinct from 'joint'
"""  # noqa: S608

# A household that another portfolio vendor lists is not missing.
HOUSEHOLDS = f"""
with one as (
    select id, identity_id from warehouse.identity where entity = 'household' and recorded_to is null
), listed as (
    select distinct coalesce(i.identity_id, o.household_id) as identity_id
    from warehouse.household o left join one i on i.id = o.household_id
    where o.vendor <> %(vendor)s and o.recorded_to is null and o.valid_to is null and not o.is_past_only
      and o.vendor in (select vendor from control.ledger where stage = 'load' and entity = 'position' and pulled = 'current')
      and o.vendor not in (select vendor from control.unused_vendor)
      and not exists (select from control.absence n where n.vendor = o.vendor and n.entity = 'household' and n.source_key = o.household_key)
)
select h.household_id, h.representative_id, case when l.identity_id is null then a.absent_since end
from {_query_version("household")} h
left join control.absence a on a.vendor = h.vendor and a.entity = 'household' and a.source_key = h.household_key
left join one i on i.id = h.household_id
left join listed l on l.identity_id = coalesce(i.identity_id, h.household_id)
"""  # noqa: S608

SECURITIES = f"""
select security_id, coalesce(ticker, name), category, security_type from {_query_version("security")} s
"""  # noqa: S608

# All columns are bigints, for `columns.read_integers`.
POSITIONS = """
select account_id, security_id, (market_value_usd * 100)::bigint as market_value_cents,
       coalesce(is_cash, false)::int::bigint as is_cash
from warehouse.position
where business_date = %(day)s and vendor = %(vendor)s and recorded_to is null and market_value_usd is not null
"""

FLOWS = f"""
select coalesce(r.identity_id, account_id), trade_date, flow, amount_usd from warehouse.transaction {_LEFT_JOIN_REKEYED}
where vendor = %(vendor)s and recorded_to is null and status = 'posted' and flow in ('contribution', 'distribution')
  and amount_usd is not null and trade_date > %(day)s - %(flow_days)s and trade_date <= %(day)s
"""  # noqa: S608

BREAKS = """
select coalesce(b.account_id, (select t.account_id from warehouse.transaction t
                               where t.vendor = b.vendor and t.position_key = b.position_key limit 1)), b.difference
from control.roll_forward_break b
where b.vendor = %(vendor)s and b.run_id = %(run_id)s and b.business_date = %(day)s
"""


def _query_silent(day: str, entities: str) -> str:
    return f"""
with about as (
    select distinct case when d.entity = 'account' then d.key else d.parent end as account_key
    from control.dead_letter l cross join jsonb_to_recordset(l.describes) as d(entity text, key text, parent text)
    where l.vendor = %(vendor)s and l.business_date = %({day})s and l.status = 'open' and d.entity in ({entities}, '*')
), silent as (
    select s.id as account_id from about a
    join warehouse.source_key s on s.entity = 'account' and s.vendor = %(vendor)s and s.source_key = a.account_key
)
select 'account', account_id from silent
union
select 'account', null from about where account_key is null
union
select 'household', o.household_id from silent join {_OWNER} o on o.account_id = silent.account_id
where o.household_id is not null
"""  # noqa: S608


# Accounts whose rows may be dead letters, and the households that own a part of them. A null id: the dead letter may concern any account.
SILENT = _query_silent("day", "'account', 'account_owner', 'account_value', 'position', 'transaction'")
SILENT_BEFORE = _query_silent("before", "'account', 'account_value'")
