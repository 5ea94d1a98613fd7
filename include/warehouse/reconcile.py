"""Does it add up? Vendor against warehouse in money, and yesterday plus today's transactions against today in units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from include.contract import Vendor
from include.errors import BalanceError

_SHARE_TOLERANCE = Decimal("0.000001")
"""Shares have eight decimals: thirds do not come to a whole."""

# Rows that are dead now, with what they would have told of: an account, a position; null where we can't know.
_LETTERS = sa.text("""
create temporary table letter on commit drop as
select l.business_date, m.entity,
       case m.entity
           when 'account_value' then (select s.id from warehouse.source_key s
                                      where s.entity = 'account' and s.vendor = :vendor and s.source_key = l.row_key)
           when 'position' then (select p.account_id from warehouse.position p
                                 where p.business_date = :before and p.vendor = :vendor and p.position_key = l.row_key
                                   and p.recorded_to is null)
       end as account_id,
       case m.entity
           when 'position' then l.row_key
           when 'transaction' then (select t.position_key from warehouse.transaction t
                                    where t.vendor = :vendor and t.transaction_key = l.row_key and t.recorded_to is null)
       end as position_key
from control.dead_letter l
join unnest(cast(:tables as text[]), cast(:entities as text[])) m(table_name, entity) on m.table_name = l.table_name
where l.vendor = :vendor and l.status = 'open'
  and (l.business_date in (:day, :before) or m.entity = 'transaction' and l.business_date <= :day)
""")

# An old letter of a transaction explains a break of its own position only: what it is about must be known.
_FORGET_OLD = sa.text("delete from letter where position_key is null and business_date not in (:day, :before)")

# Money that the vendor states for accounts, against the money of the positions that we hold for them.
_CONTROL_TOTAL = sa.text("""
with stated as (
    select account_id, market_value_usd as money from warehouse.account_value
    where business_date = :day and vendor = :vendor and recorded_to is null
), held as (
    select account_id, sum(market_value_usd) as money from warehouse.position
    where business_date = :day and vendor = :vendor and recorded_to is null group by 1
), off as (
    select account_id, coalesce(s.money, 0) as expected, coalesce(h.money, 0) as actual,
           abs(coalesce(s.money, 0) - coalesce(h.money, 0)) > :tolerance as is_off
    from stated s full join held h using (account_id)
), dead as (
    select account_id from letter where business_date = :day and entity in ('account_value', 'position')
)
select (select count(*) from stated) as stated,
       coalesce(sum(expected), 0) as expected, coalesce(sum(actual), 0) as actual, count(*) filter (where is_off) as breaks,
       count(*) filter (where is_off and account_id in (select account_id from dead)) as explained,
       (select count(*) from dead where account_id is null) as unknown
from off
""")

# An account whose owners' shares come to more than the whole would count twice.
_SHARES = sa.text("""
select count(*) as accounts, count(*) filter (where shares > 1 + :tolerance) as breaks from (
    select account_id, sum(share_ratio) as shares from warehouse.account_owner
    where vendor = :vendor and valid_to is null and recorded_to is null group by 1
) owned
""")

_DAY_BEFORE = sa.text("""
select max(t.recorded_at) as known_at,
       exists (select from control.ledger h
               where h.vendor = :vendor and h.entity = 'transaction' and h.stage = 'load' and h.pulled = 'present'
                 and h.recorded_at <= max(t.recorded_at)) as is_complete
from control.ledger p
join control.ledger t on t.run_id = p.run_id and t.vendor = p.vendor and t.stage = 'load' and t.entity = 'transaction'
                     and t.business_date = p.business_date
where p.vendor = :vendor and p.stage = 'load' and p.entity = 'position' and p.business_date = :before
group by p.business_date, p.ledger_id order by p.ledger_id desc limit 1
""")

# What transactions did to positions between two snapshots: those dated since, and what became known since of older
# ones (entered late, corrected, reversed), which the vendor's newer snapshot reflects and the older one does not. The
# latter only if all of the history was known when the older snapshot was taken: else we learn late, not the vendor.
_BREAKS = sa.text("""
with moved as (
    select position_key, quantity from warehouse.transaction
    where vendor = :vendor and recorded_to is null and status = 'posted' and trade_date <= :day
      and (trade_date > :before or (:is_complete and recorded_from > :known_at))
    union all
    select position_key, -quantity from warehouse.transaction
    where :is_complete and vendor = :vendor and status = 'posted' and trade_date <= :before
      and recorded_from <= :known_at and recorded_to > :known_at
), change as (
    select position_key, sum(quantity) as quantity from moved group by 1
), earlier as (
    select position_key, account_id, quantity from warehouse.position
    where business_date = :before and vendor = :vendor and recorded_to is null
), later as (
    select position_key, account_id, quantity from warehouse.position
    where business_date = :day and vendor = :vendor and recorded_to is null
), rolled as (
    select position_key, coalesce(l.account_id, e.account_id) as account_id,
           coalesce(e.quantity, 0) + coalesce(c.quantity, 0) as expected, coalesce(l.quantity, 0) as actual
    from earlier e full join later l using (position_key) full join change c using (position_key)
)
insert into control.roll_forward_break
    (run_id, vendor, business_date, position_key, account_id, expected, actual, difference)
select :run_id, :vendor, :day, position_key, account_id, expected, actual, actual - expected
from rolled r
where abs(actual - expected) > :tolerance
on conflict (run_id, vendor, business_date, position_key) do update
set expected = excluded.expected, actual = excluded.actual, difference = excluded.difference
""")

_EXPLAINED = sa.text("""
select (select count(*) from control.roll_forward_break b
        where b.run_id = :run_id and b.vendor = :vendor and b.business_date = :day
          and b.position_key in (select position_key from letter)) as explained,
       (select count(*) from letter where entity in ('position', 'transaction') and position_key is null) as unknown
""")

_RECORD = sa.text("""
insert into control.reconciliation
    (run_id, vendor, business_date, check_name, expected, actual, tolerance, breaks, explained, is_passed, note)
values (:run_id, :vendor, :day, :check_name, :expected, :actual, :tolerance, :breaks, :explained, :is_passed, :note)
on conflict (run_id, vendor, business_date, check_name) do update
set expected = excluded.expected, actual = excluded.actual, tolerance = excluded.tolerance, breaks = excluded.breaks,
    explained = excluded.explained, is_passed = excluded.is_passed, note = excluded.note, checked_at = clock_timestamp()
""")


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: what was expected, what is there, and how many single things do not agree.

    Attributes:
        breaks: Things that differ by more than the tolerance.
        explained: Those of them whose own rows are open dead letters, and one more for each letter of which we can't
            know what it is about.
        note: Why nothing was compared; empty where something was.
    """

    name: str
    expected: Decimal
    actual: Decimal
    tolerance: Decimal
    breaks: int
    explained: int = 0
    note: str = ""

    @property
    def is_passed(self) -> bool:
        """Whether every break is explained."""
        return self.breaks <= self.explained


def reconcile(engine: sa.Engine, vendor: Vendor, day: date, before: date, run_id: str) -> list[Check]:
    """Compares, lists and records; the caller decides with `stop_if_broken`.

    Args:
        engine: As the loading role.
        vendor: Whose day; says by how much things may differ.
        day: The business date.
        before: The session before it.
        run_id: Names the run in the tables.
    """
    fed = {m.entity: m.table for m in vendor.maps if m.entity in ("account_value", "position", "transaction")}
    values: dict[str, Any] = {
        "vendor": vendor.name, "day": day, "before": before, "run_id": run_id,
        "tables": list(fed.values()), "entities": list(fed),
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(_LETTERS, values)
        connection.execute(_FORGET_OLD, values)
        checks = [
            _compare_money(connection, values, Decimal(vendor.total_tolerance_usd)),
            _roll_forward(connection, values, Decimal(vendor.roll_tolerance_quantity)),
            _add_shares(connection, values),
        ]
        for check in checks:
            said = {name: getattr(check, name) for name in (*Check.__dataclass_fields__, "is_passed") if name != "name"}
            connection.execute(_RECORD, values | said | {"check_name": check.name})
    return checks


def _compare_money(connection: sa.Connection, values: dict[str, Any], tolerance: Decimal) -> Check:
    found = connection.execute(_CONTROL_TOTAL, values | {"tolerance": tolerance}).one()
    if not found.stated:
        note = f"the vendor states no account's value of {values['day']}"
        return Check("control total", found.actual, found.actual, tolerance, 0, note=note)
    explained = min(found.breaks, found.explained + found.unknown)
    return Check("control total", found.expected, found.actual, tolerance, found.breaks, explained)


def _roll_forward(connection: sa.Connection, values: dict[str, Any], tolerance: Decimal) -> Check:
    zero = Decimal(0)
    connection.execute(
        sa.text("delete from control.roll_forward_break where run_id = :run_id and vendor = :vendor"), values
    )
    known = connection.execute(_DAY_BEFORE, values).mappings().first()
    if not known:
        note = f"the positions of {values['before']} were never loaded"
        return Check("roll-forward", zero, zero, tolerance, 0, note=note)
    breaks = connection.execute(_BREAKS, values | {**known, "tolerance": tolerance}).rowcount
    found = connection.execute(_EXPLAINED, values).one()
    return Check("roll-forward", zero, Decimal(breaks), tolerance, breaks, min(breaks, found.explained + found.unknown))


def _add_shares(connection: sa.Connection, values: dict[str, Any]) -> Check:
    found = connection.execute(_SHARES, values | {"tolerance": _SHARE_TOLERANCE}).one()
    return Check("owners' shares", Decimal(0), Decimal(found.breaks), _SHARE_TOLERANCE, found.breaks)


def stop_if_broken(vendor: str, day: date, checks: list[Check]) -> None:
    """Fails a run that does not add up.

    Raises:
        BalanceError: With every comparison that failed.
    """
    failed = [
        f"{c.name}: {c.breaks} breaks beyond {c.tolerance}, {c.explained} explained by dead letters"
        for c in checks
        if not c.is_passed
    ]
    if failed:
        raise BalanceError("The day does not reconcile: " + "; ".join(failed), vendor=vendor, business_date=day)
