"""Does it add up? Vendor against warehouse in money, and yesterday plus today's transactions against today in units."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from include.errors import BalanceError

# Money that the vendor states for accounts, against the money of the positions that we hold for them.
_CONTROL_TOTAL = sa.text("""
with stated as (
    select account_id, market_value_usd as money from warehouse.account_value
    where business_date = :day and vendor = :vendor and recorded_to is null
), held as (
    select account_id, sum(market_value_usd) as money from warehouse.position
    where business_date = :day and vendor = :vendor and recorded_to is null group by 1
)
select coalesce(sum(s.money), 0) as expected, coalesce(sum(h.money), 0) as actual,
       count(*) filter (where abs(coalesce(s.money, 0) - coalesce(h.money, 0)) > :tolerance) as breaks
from stated s full join held h using (account_id)
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
select count(*) from control.dead_letter
where vendor = :vendor and status = 'open' and table_name = any(:tables) and business_date in (:day, :before)
""")

_RECORD = sa.text("""
insert into control.reconciliation
    (run_id, vendor, business_date, check_name, expected, actual, tolerance, breaks, explained, is_passed)
values (:run_id, :vendor, :day, :check_name, :expected, :actual, :tolerance, :breaks, :explained, :is_passed)
on conflict (run_id, vendor, business_date, check_name) do update
set expected = excluded.expected, actual = excluded.actual, tolerance = excluded.tolerance, breaks = excluded.breaks,
    explained = excluded.explained, is_passed = excluded.is_passed, checked_at = clock_timestamp()
""")


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: what was expected, what is there, and how many single things do not agree.

    Breaks up to `explained` are accounted for by open dead letters.
    """

    name: str
    expected: Decimal
    actual: Decimal
    tolerance: Decimal
    breaks: int
    explained: int

    @property
    def is_passed(self) -> bool:
        """Whether every break is explained."""
        return self.breaks <= self.explained


def reconcile(
    engine: sa.Engine,
    vendor: str,
    tables: list[str],
    day: date,
    before: date,
    run_id: str,
    tolerance_quantity: Decimal,
    tolerance_usd: Decimal = Decimal("0.01"),
) -> list[Check]:
    """Compares, lists and records; the caller decides with `stop_if_broken`.

    Args:
        engine: As the loading role.
        vendor: Whose day.
        tables: The vendor's tables whose dead letters may explain a break.
        day: The business date.
        before: The session before it; the roll-forward is left out if its snapshot was never loaded.
        run_id: Names the run in the tables.
        tolerance_quantity: Units by which a position may differ.
        tolerance_usd: Dollars by which an account may differ.
    """
    values: dict[str, Any] = {"vendor": vendor, "day": day, "before": before, "run_id": run_id, "tables": tables}
    with engine.begin() as connection:
        explained = int(connection.scalar(_EXPLAINED, values) or 0)
        total = connection.execute(_CONTROL_TOTAL, values | {"tolerance": tolerance_usd}).mappings().one()
        checks = [Check("control total", total["expected"], total["actual"], tolerance_usd, total["breaks"], explained)]
        known = connection.execute(_DAY_BEFORE, values).mappings().first()
        if known:
            values |= {**known, "tolerance": tolerance_quantity}
            connection.execute(
                sa.text("delete from control.roll_forward_break where run_id = :run_id and vendor = :vendor"), values
            )
            breaks = connection.execute(_BREAKS, values).rowcount
            checks.append(Check("roll-forward", Decimal(0), Decimal(breaks), tolerance_quantity, breaks, explained))
        for check in checks:
            connection.execute(
                _RECORD,
                values
                | {
                    "check_name": check.name,
                    "expected": check.expected,
                    "actual": check.actual,
                    "tolerance": check.tolerance,
                    "breaks": check.breaks,
                    "explained": check.explained,
                    "is_passed": check.is_passed,
                },
            )
    return checks


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
