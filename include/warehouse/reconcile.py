"""Reconcile a vendor's day by three checks.

control total   the value that the vendor states for each account, against the sum of the account's stored positions, in dollars
roll-forward    the previous day's positions plus the transactions since, against the day's positions, in units
owners' shares  the shares of an account's owners must not add up to more than 1
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from include.contract import Vendor
from include.errors import BalanceError
from include.warehouse.acceptance import ACCEPTABLE, find_acceptance

_MOST_BREAKS = 10_000
_NAMED_BREAKS = 5
_SHARE_TOLERANCE = Decimal("0.000001")
"""Allowed excess over 1: shares have eight decimals, so their sum is rarely exactly 1."""

# What open dead letters may describe: an account, a position, or anything if neither can be read. A transaction's date is never later
# than the business date of its pull.
_DEAD = sa.text("""
create temporary table dead on commit drop as
select l.business_date, d.entity, abs(l.money_usd) as money, l.is_money_unreadable,
       case d.entity when 'transaction' then null else
            (select s.id from warehouse.source_key s
             where s.entity = 'account' and s.vendor = :vendor and s.source_key = coalesce(d.parent, d.key)) end as account_id,
       case d.entity when 'position' then d.key when 'transaction' then d.position end as position_key, d.quantity
from control.dead_letter l
cross join jsonb_to_recordset(l.describes) as d(entity text, key text, parent text, position text, quantity numeric)
where l.vendor = :vendor and l.status = 'open' and d.entity in ('account_value', 'position', 'transaction', '*')
  and (l.business_date in (:day, :before)
       or d.entity = 'transaction' and l.business_date <= :day and coalesce(l.row_date, l.business_date) > :before)
""")

# A dead letter of a transaction from an earlier day explains only a break of its own position. So remove those without a known position.
_FORGET_OLD = sa.text("delete from dead where position_key is null and business_date not in (:day, :before)")

# A dead lot of a holding (a row that is summed into a position) with an unknown account and position explains nothing: the position was
# loaded with a sum that lacks the lot, and must not pass.
_FORGET_SUMMED = sa.text("delete from dead where entity = any(:summed) and position_key is null and account_id is null")

# The value that the vendor states for each account, against the sum of the account's stored positions.
_COMPARED = """
with stated as (
    select account_id, market_value_usd as money from warehouse.account_value
    where business_date = :day and vendor = :vendor and recorded_to is null
), held as (
    select account_id, sum(market_value_usd) as money from warehouse.position
    where business_date = :day and vendor = :vendor and recorded_to is null group by 1
), compared as (
    select coalesce(s.account_id, h.account_id) as account_id, coalesce(s.money, 0) as expected, coalesce(h.money, 0) as actual,
           abs(coalesce(s.money, 0) - coalesce(h.money, 0)) > :tolerance as is_off, h.account_id is null as is_undelivered,
           exists (select from dead d where d.account_id = coalesce(s.account_id, h.account_id) and d.business_date = :day) as is_dead
    from stated s full join held h on h.account_id = s.account_id
), unassigned as (
    select * from dead where business_date = :day and entity <> 'transaction' and account_id is null
)
"""
_HAS_POSITIONS = sa.text("""
select exists (select from control.ledger
               where vendor = :vendor and stage = 'load' and entity = 'position' and business_date = :day)
""")
_CONTROL_TOTAL = sa.text(f"""
{_COMPARED}
select (select count(*) from stated) as stated,
       coalesce(sum(expected), 0) as expected, coalesce(sum(actual), 0) as actual, count(*) filter (where is_off) as breaks,
       count(*) filter (where is_off and is_dead) as explained,
       coalesce(sum(abs(actual - expected)) filter (where is_off and not is_dead), 0) as unexplained_money,
       (select count(*) from unassigned) as unknown,
       (select case when not bool_or(is_money_unreadable or money is null) then sum(money) end from unassigned) as unknown_money
from compared
""")  # noqa: S608

# The largest first, limited to a number that people can use.
_ACCOUNTS_OFF = sa.text(f"""
{_COMPARED}
select c.account_id, k.source_key as key, c.expected, c.actual, c.actual - c.expected as difference, c.is_dead as is_explained, c.is_undelivered
from compared c join warehouse.source_key k on k.id = c.account_id
where c.is_off order by c.is_dead, abs(c.actual - c.expected) desc limit {_MOST_BREAKS}
""")  # noqa: S608

# An account whose owners' shares add up to more than 1 would be counted more than once.
_SHARES = sa.text("""
select count(*) as accounts, count(*) filter (where shares > 1 + :tolerance) as breaks from (
    select account_id, sum(share_ratio) as shares from warehouse.account_owner
    where vendor = :vendor and valid_to is null and recorded_to is null group by 1
) owned
""")

# The day from which to roll forward: the previous trading day, if all of it was loaded. If not, the newest earlier day that a current pull
# loaded, provided that the whole transaction history is loaded.
_LAST_LOADED = sa.text("""
select max(business_date) from control.ledger
where vendor = :vendor and stage = 'load' and entity = 'position' and business_date < :day and pulled in ('current', 'historical')
  and (business_date >= :before or pulled = 'current'
       and exists (select from control.ledger h where h.vendor = :vendor and h.entity = 'transaction' and h.stage = 'load'
                                                 and h.pulled = 'current'))
""")

_DAY_BEFORE = sa.text("""
select p.run_id as run_before, max(t.recorded_at) as known_at,
       exists (select from control.ledger h
               where h.vendor = :vendor and h.entity = 'transaction' and h.stage = 'load' and h.pulled = 'current'
                 and h.recorded_at <= max(t.recorded_at)) as is_complete,
       (select w.pulled from control.ledger w where w.vendor = :vendor and w.stage = 'load' and w.entity = 'position'
                                                and w.business_date = :before and w.pulled in ('current', 'historical')
        order by w.ledger_id desc limit 1) = 'historical' as is_historical
from control.ledger p
join control.ledger t on t.run_id = p.run_id and t.vendor = p.vendor and t.stage = 'load' and t.entity = 'transaction'
                     and t.business_date = p.business_date
where p.vendor = :vendor and p.stage = 'load' and p.entity = 'position' and p.business_date = :before
  and exists (select from control.ledger w where w.vendor = :vendor and w.stage = 'load' and w.entity = 'position'
                                             and w.business_date = :before and w.pulled in ('current', 'historical'))
group by p.business_date, p.ledger_id, p.run_id order by p.ledger_id desc limit 1
""")

# The transactions that explain the change of a position between two snapshots. They are the transactions dated after the older snapshot,
# and older transactions that were entered, corrected or reversed after it was taken. The latter count only if the whole transaction
# history was loaded when the older snapshot was taken. If it was not, a transaction may be new to us but old at the vendor.
# A snapshot that was pulled for a past date may contain corrections of older transactions that only a later pull brings, because such a
# pull takes only that date's transactions. So a position of it also adds up if it does without those corrections.
_BREAKS = sa.text("""
with late as (
    select position_key, account_id, sum(quantity) as quantity from (
        select position_key, account_id, quantity from warehouse.transaction
        where :is_complete and vendor = :vendor and recorded_to is null and status = 'posted' and trade_date <= :before
          and recorded_from > :known_at
        union all
        select position_key, account_id, -quantity from warehouse.transaction
        where :is_complete and vendor = :vendor and status = 'posted' and trade_date <= :before
          and recorded_from <= :known_at and recorded_to > :known_at
    ) l group by 1, 2
), accepted as (
    select b.position_key, b.difference from control.roll_forward_break b
    join control.reconciliation r using (run_id, vendor, business_date)
    where b.vendor = :vendor and b.business_date = :before and b.run_id = :run_before
      and r.check_name = 'roll-forward' and r.accepted_by is not null
), moved as (
    select position_key, account_id, quantity, false as is_late from warehouse.transaction
    where vendor = :vendor and recorded_to is null and status = 'posted' and trade_date > :before and trade_date <= :day
    union all
    -- Leave out changes that an accepted day's snapshot already contained, although its transactions did not.
    select l.*, true from late l
    where not exists (select from accepted a where (a.position_key, a.difference) = (l.position_key, l.quantity))
), change as (
    select position_key, max(account_id) as account_id, sum(quantity) as quantity,
           coalesce(sum(quantity) filter (where is_late), 0) as late
    from moved group by 1
), earlier as (
    select position_key, account_id, quantity from warehouse.position
    where business_date = :before and vendor = :vendor and recorded_to is null
), later as (
    select position_key, account_id, quantity from warehouse.position
    where business_date = :day and vendor = :vendor and recorded_to is null
), rolled as (
    select position_key, coalesce(l.account_id, e.account_id, c.account_id) as account_id,
           e.position_key is null as is_new, l.position_key is null as is_missing,
           coalesce(e.quantity, 0) + coalesce(c.quantity, 0) as expected, coalesce(l.quantity, 0) as actual,
           coalesce(c.late, 0) as late
    from earlier e full join later l using (position_key) full join change c using (position_key)
), off as (
    select * from rolled
    where abs(actual - expected) > :tolerance and not (:is_historical and abs(actual - expected + late) <= :tolerance)
)
select position_key, account_id, expected, actual, actual - expected as difference, is_new <> is_missing as is_in_one_snapshot,
       is_explained, count(*) over () as breaks, count(*) filter (where is_explained) over () as explained
from off r
cross join lateral (
    select coalesce(
        bool_or(d.entity <> 'transaction' and d.position_key = r.position_key)
        -- A dead summed row that names only its account keeps all of that account's summed rows out.
        or bool_or(d.entity = any(:summed) and d.position_key is null and d.account_id = r.account_id
                   and (r.is_missing and d.business_date = :day or r.is_new and d.business_date = :before))
        or bool_or(d.quantity is null) filter (where d.entity = 'transaction' and d.position_key = r.position_key)
        or sum(abs(d.quantity)) filter (where d.entity = 'transaction' and d.position_key = r.position_key)
           >= abs(actual - expected) - :tolerance, false) as is_explained
    from dead d where d.position_key = r.position_key or d.account_id = r.account_id
) e
order by is_explained, abs(actual - expected) desc, position_key limit :most
""")

# Dead letters of positions and transactions that name no position, grouped by account (null if unknown).
_UNKNOWN = sa.text("""
select account_id, count(*) as dead_letters, case when not bool_or(quantity is null) then sum(abs(quantity)) end as units from dead
where entity in ('position', 'transaction', '*') and position_key is null
  and not (entity = any(:summed) and account_id is not null)
group by 1
""")

_RECORD_BREAKS = {
    "roll-forward": sa.text("""
insert into control.roll_forward_break (run_id, vendor, business_date, position_key, account_id, expected, actual, difference)
values (:run_id, :vendor, :day, :position_key, :account_id, :expected, :actual, :difference)
"""),
    "control total": sa.text("""
insert into control.control_total_break (run_id, vendor, business_date, account_id, expected, actual, difference, is_explained)
values (:run_id, :vendor, :day, :account_id, :expected, :actual, :difference, :is_explained)
"""),
}

_RECORD = sa.text("""
insert into control.reconciliation
    (run_id, vendor, business_date, check_name, expected, actual, tolerance, breaks, explained, accepted_by, is_passed, note, read_at)
values (:run_id, :vendor, :day, :check_name, :expected, :actual, :tolerance, :breaks, :explained, nullif(:accepted_by, ''), :is_passed, :note, :read_at)
on conflict (run_id, vendor, business_date, check_name) do update
set expected = excluded.expected, actual = excluded.actual, tolerance = excluded.tolerance, breaks = excluded.breaks,
    explained = excluded.explained, accepted_by = excluded.accepted_by, is_passed = excluded.is_passed, note = excluded.note, read_at = excluded.read_at,
    checked_at = clock_timestamp()
""")


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: the expected and actual values, and the number of breaks.

    Attributes:
        breaks: Items that differ by more than the tolerance.
        explained: Number of breaks that open dead letters explain. A dead letter explains the break of its account or position. If it is a
            transaction, it explains the break only up to its quantity. A dead letter whose account can't be read explains one break, if
            the sum of all such dead letters is at least the sum of the remaining breaks: money for the control total, units for the
            roll-forward. If the amount of one of them can't be read, none of them explains a break, because its size is unknown.
        accepted_by: The operator who accepted the unexplained breaks; empty for none.
        note: The reason why nothing was compared; empty if the comparison was made.
        listed: The breaks, the largest unexplained ones first.
        read_at: When the first row was read; rows that were recorded later may not be in the comparison.
    """

    name: str
    expected: Decimal
    actual: Decimal
    tolerance: Decimal
    breaks: int
    explained: int = 0
    note: str = ""
    accepted_by: str = ""
    listed: tuple[Mapping[str, Any], ...] = ()
    read_at: datetime | None = None

    @property
    def is_passed(self) -> bool:
        """Whether every break is explained by dead letters or accepted by an operator."""
        return bool(self.accepted_by) or self.breaks <= self.explained

    @property
    def summary(self) -> str:
        """The check as one sentence, with the vendor's keys of its largest breaks."""
        parts = [
            f"{b.get('key') or b.get('position_key')} by {b['difference']:+,f}" for b in self.listed[:_NAMED_BREAKS]
        ]
        which = f" ({', '.join(parts)}{', ...' if self.breaks > len(parts) else ''})" if parts else ""
        return f"{self.name}: {self.breaks} breaks beyond {self.tolerance}, {self.explained} explained by dead letters{which}"


def reconcile(
    connection: sa.Connection, vendor: Vendor, day: date, before: date, *, accepted_by: str = ""
) -> list[Check]:
    """Return the checks of a loaded day. The caller passes them to `record`, and to `stop_if_broken`.

    An operator can accept a break only after an earlier run reported it for this day. A break that has grown since then is a new one.
    Breaks of owners' shares can't be accepted, because an account would be counted twice.

    Args:
        connection: As the loading role, in the transaction of the load, so that a day that does not reconcile never becomes visible.
        vendor: Declares the tolerances.
        day: The business date.
        before: The previous trading day. If it was not loaded, the last loaded day is used instead.
        accepted_by: The operator who accepts the day; empty for none.
    """
    summed = [each.entity for each in vendor.maps if each.summed]
    values: dict[str, Any] = {"vendor": vendor.name, "day": day, "before": before, "summed": summed}
    connection.execute(sa.text("set local enable_nestloop = on"))
    read_at = connection.scalar(sa.text("select clock_timestamp()"))
    values["before"] = connection.scalar(_LAST_LOADED, values) or before
    for statement in (_DEAD, _FORGET_OLD, _FORGET_SUMMED):
        connection.execute(statement, values)
    checks = [
        _compare_money(connection, values, Decimal(vendor.total_tolerance_usd)),
        _roll_forward(connection, values, Decimal(vendor.roll_tolerance_quantity)),
    ]
    checks = [*(_accept(connection, values, each, accepted_by) for each in checks), _add_shares(connection, values)]
    return [replace(each, read_at=read_at) for each in checks]


def _accept(connection: sa.Connection, values: dict[str, Any], check: Check, accepted_by: str) -> Check:
    """Return the check as accepted if every unexplained break is accepted; otherwise, or if not all breaks are listed, unchanged."""
    if check.is_passed or check.breaks > len(check.listed):
        return check
    unexplained = [each for each in check.listed if not each["is_explained"]]
    return replace(check, accepted_by=find_acceptance(connection, values, check.name, unexplained, accepted_by))


def record(connection: sa.Connection, vendor: str, day: date, run_id: str, checks: list[Check]) -> None:
    """Record a run's checks and breaks; they replace those of an earlier attempt of the run."""
    of = {"vendor": vendor, "day": day, "run_id": run_id}
    for table in ("roll_forward_break", "control_total_break"):
        statement = f"delete from control.{table} where (run_id, vendor, business_date) = (:run_id, :vendor, :day)"  # noqa: S608
        connection.execute(sa.text(statement), of)
    for check in checks:
        facts = {
            name: getattr(check, name)
            for name in (
                "expected",
                "actual",
                "tolerance",
                "breaks",
                "explained",
                "accepted_by",
                "is_passed",
                "note",
                "read_at",
            )
        }
        connection.execute(_RECORD, of | facts | {"check_name": check.name})
        if check.listed:
            connection.execute(_RECORD_BREAKS[check.name], [of | dict(each) for each in check.listed])


def _compare_money(connection: sa.Connection, values: dict[str, Any], tolerance: Decimal) -> Check:
    values = values | {"tolerance": tolerance}
    totals = connection.execute(_CONTROL_TOTAL, values).one()
    if not totals.stated:
        note = f"the vendor states no account values for {values['day']}"
        return Check("control total", totals.actual, totals.actual, tolerance, 0, note=note)
    if not connection.scalar(_HAS_POSITIONS, values):
        note = f"the positions of {values['day']} were not loaded"
        return Check("control total", totals.expected, totals.expected, tolerance, 0, note=note)
    # Each dead letter without a readable account explains one break, if together they contain at least the money of the unexplained breaks.
    is_enough = totals.unknown_money is not None and totals.unexplained_money <= totals.unknown_money + tolerance
    explained = min(totals.breaks, totals.explained + (totals.unknown if is_enough else 0))
    listed = connection.execute(_ACCOUNTS_OFF, values).mappings().all() if totals.breaks else ()
    return Check(
        "control total",
        totals.expected,
        totals.actual,
        tolerance,
        totals.breaks,
        explained,
        listed=tuple(map(dict, listed)),
    )


def _roll_forward(connection: sa.Connection, values: dict[str, Any], tolerance: Decimal) -> Check:
    zero = Decimal(0)
    if not connection.scalar(_HAS_POSITIONS, values):
        return Check("roll-forward", zero, zero, tolerance, 0, note=f"the positions of {values['day']} were not loaded")
    known = connection.execute(_DAY_BEFORE, values).mappings().first()
    if not known:
        note = f"the positions of {values['before']} were never loaded"
        return Check("roll-forward", zero, zero, tolerance, 0, note=note)
    breaks = (
        connection.execute(_BREAKS, values | {**known, "tolerance": tolerance, "most": _MOST_BREAKS}).mappings().all()
    )
    count, explained = (breaks[0]["breaks"], breaks[0]["explained"]) if breaks else (0, 0)
    # A dead letter that names no position explains one break. If it names an account, the break must be in that account, of a position
    # that is in only one of the two snapshots. If it names none, it explains no more units than it has.
    unexplained = [row for row in breaks if not row["is_explained"]]
    in_account = Counter(row["account_id"] for row in unexplained if row["is_in_one_snapshot"])
    off = sum((abs(row["difference"]) for row in unexplained), zero)
    for account_id, dead, units in connection.execute(_UNKNOWN, values):
        if account_id is None:
            explained += dead if units is not None and off <= units + tolerance else 0
        else:
            explained += min(dead, in_account[account_id])
    listed = tuple(map(dict, breaks))
    return Check("roll-forward", zero, Decimal(count), tolerance, count, min(count, explained), listed=listed)


def _add_shares(connection: sa.Connection, values: dict[str, Any]) -> Check:
    breaks = connection.execute(_SHARES, values | {"tolerance": _SHARE_TOLERANCE}).one().breaks
    return Check("owners' shares", Decimal(0), Decimal(breaks), _SHARE_TOLERANCE, breaks)


def stop_if_broken(vendor: str, day: date, checks: list[Check]) -> None:
    """Raise if a check failed.

    Raises:
        BalanceError: Names every check that failed.
    """
    failed = [check for check in checks if not check.is_passed]
    if failed:
        advice = (
            "Correct it at the vendor and run the day again, with Full refresh where transactions were deleted there"
        )
        if all(check.name in ACCEPTABLE for check in failed):
            advice += "; if the day is right as it is, run it again with Accept an unusual day"
        summaries = "; ".join(check.summary for check in failed)
        raise BalanceError(f"The day does not reconcile: {summaries}. {advice}", vendor=vendor, business_date=day)
