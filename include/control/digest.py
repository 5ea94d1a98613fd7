"""The daily digest: rejected days, dead letters, reconciliation breaks, days held back, security conflicts, new fields, missing backups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa

from include.control.backups import find_missing

REASONS = 3
"""Maximum number of reasons listed per table, the most frequent first."""

FIELDS = 20
"""Maximum number of undeclared fields listed per table."""

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""A time before every record."""

# Each full pull records its dead rows again. So a dead letter is new only if the same row had none before for the same reasons.
_IS_NEW = """
not exists (select from control.dead_letter e
            where e.vendor = l.vendor and e.table_name = l.table_name and e.stage = l.stage and e.row_key = l.row_key
              and e.reasons = l.reasons and e.dead_letter_id < l.dead_letter_id and e.status in ('open', 'superseded'))
"""

# Grouped by table and reason first, to list the most frequent reasons; `public_reasons` are the reasons in the form that subscribers get.
_DEAD_LETTERS = f"""
with shown as (
    select l.dead_letter_id, l.vendor, l.table_name, l.public_reasons, l.died_at, l.money_usd, l.is_money_unreadable, (l.died_at >= :since and {_IS_NEW}) as is_new
    from control.dead_letter l where l.status = 'open' and (:run_id = '' or (l.run_id, l.vendor) = (:run_id, :vendor))
), reasons as (
    select vendor, table_name, array_agg(reason order by times desc, reason) as reasons
    from (select vendor, table_name, reason, count(*) as times
          from shown cross join lateral (select distinct reason from unnest(public_reasons) as reason) why
          where is_new or :run_id = '' group by 1, 2, 3) counted
    group by 1, 2
)
select vendor, table_name, count(*) as open, count(*) filter (where is_new) as new, min(died_at) as since,
       sum(abs(money_usd)) as money_usd, count(*) filter (where is_money_unreadable) as unreadable,
       coalesce((select r.reasons from reasons r where (r.vendor, r.table_name) = (s.vendor, s.table_name)), '{{}}') as reasons
from shown s group by vendor, table_name order by vendor, table_name
"""  # noqa: S608

# If a check was repeated, only the newest result counts.
_BREAKS = sa.text("""
select * from (
    select distinct on (vendor, business_date, check_name)
           vendor, business_date, check_name, breaks, explained, is_passed, expected, actual, accepted_by
    from control.reconciliation
    where checked_at >= :since and (:run_id = '' or (run_id, vendor) = (:run_id, :vendor))
    order by vendor, business_date, check_name, checked_at desc
) newest where explained > 0 or not is_passed or accepted_by is not null
order by vendor, business_date, check_name
""")

_HELD_BACK = sa.text("""
select vendor, business_date, since, is_off from control.unsettled_vendor where since < :before order by vendor
""")

_CONFLICTS = sa.text("select number, kinds, since from control.security_conflict order by 1")

_REJECTED = sa.text("""
select vendor, rejected_date, rejected_in, business_date, reason from mart.day_in_force
where rejected_date is not null and vendor not in (select vendor from control.unused_vendor) order by vendor
""")

_UNDECLARED = sa.text("""
select vendor, table_name, array_agg(field order by field) as fields, min(first_seen_at) as since
from control.drift where first_seen_at >= :since group by 1, 2 order by 1, 2
""")

# `recorded_at`, not `sent_at`: anything recorded while a digest is being sent belongs to the next one.
_LAST = sa.text("select max(recorded_at) from control.alert where kind = 'digest' and sent_at < :before")

UNDER_WAY = timedelta(hours=2)
"""Grace period: a younger load may still be reconciled by its own run."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Open dead letters of one table.

    Attributes:
        open: Number of open dead letters.
        new: Number of those that are new; see `find_dead_letters`.
        since: When the oldest open dead letter was recorded.
        money_usd: Sum of the absolute amounts that can be read; None if there are none.
        unreadable: Number of rows whose amount can't be read.
        reasons: Distinct reasons, the most frequent first. If the search is limited to a run, only those of new dead letters.
    """

    vendor: str
    table: str
    open: int
    new: int
    since: datetime
    money_usd: Decimal | None
    unreadable: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Return one line: `<vendor>.<table>: 39 dead letters open, 12 new, the oldest of 2026-11-20, with $1,234.50: price < 0`."""
        reasons = "; ".join(self.reasons[:REASONS]) + ("; ..." if len(self.reasons) > REASONS else "")
        counts = f"{self.open:,} dead letters open, {self.new:,} new, the oldest of {self.since:%Y-%m-%d}"
        if self.money_usd is not None:
            counts += f", with ${self.money_usd:,.2f}"
        if self.unreadable:
            counts += f", and an amount that can't be read in {self.unreadable:,}"
        return f"{self.vendor}.{self.table}: {counts}: {reasons}"


@dataclass(frozen=True, slots=True)
class Break:
    """A reconciliation check that failed, had breaks that dead letters explain, or was accepted by an operator."""

    vendor: str
    business_date: date
    check: str
    breaks: int
    explained: int
    is_passed: bool
    expected: Decimal
    actual: Decimal
    accepted_by: str | None = None

    def __str__(self) -> str:
        """Return one line: `<vendor> 2026-11-25 control_total: 17 breaks, 17 explained by dead letters; expected ..., actual ...`."""
        verdict = "" if self.is_passed else "NOT RECONCILED: "
        verdict = f"ACCEPTED by {self.accepted_by}: " if self.accepted_by else verdict
        counts = f"{self.breaks:,} breaks, {self.explained:,} explained by dead letters"
        amounts = f"expected {self.expected:,}, actual {self.actual:,}"
        return f"{self.vendor} {self.business_date} {self.check}: {verdict}{counts}; {amounts}"


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A vendor whose newest day is held back from Salesforce.

    `is_off` is true if a reconciliation check of the day failed, and false if the day was not reconciled at all.
    """

    vendor: str
    business_date: date
    since: datetime
    is_off: bool

    def __str__(self) -> str:
        """Return one line: `<vendor> 2026-11-25: held back since 2026-11-26 07:12 UTC, not reconciled`."""
        why = "reconciliation failed" if self.is_off else "not reconciled"
        return f"{self.vendor} {self.business_date}: held back since {self.since:%Y-%m-%d %H:%M} UTC, {why}"


@dataclass(frozen=True, slots=True)
class SecurityConflict:
    """A security number (CUSIP) that vendors assign to different kinds of security.

    Each kind stays a separate security until the vendors agree.
    """

    number: str
    kinds: tuple[str, ...]
    since: datetime

    def __str__(self) -> str:
        """Return one line: `037833100 since 2026-11-25: <vendor>: Common Stock, <vendor>: Option`."""
        return f"{self.number} since {self.since:%Y-%m-%d}: {', '.join(self.kinds)}"


@dataclass(frozen=True, slots=True)
class UndeclaredFields:
    """Fields of a vendor's table that the vendor sends but the table's declaration does not contain. They are not staged."""

    vendor: str
    table: str
    fields: tuple[str, ...]
    since: datetime

    def __str__(self) -> str:
        """Return one line: `<vendor>.<table>: 2 since 2026-11-25: advisoryFee, rebate`."""
        more = f" and {len(self.fields) - FIELDS:,} more" if len(self.fields) > FIELDS else ""
        names = ", ".join(self.fields[:FIELDS])
        return f"{self.vendor}.{self.table}: {len(self.fields):,} since {self.since:%Y-%m-%d}: {names}{more}"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A vendor's day that was rejected after the vendor's last load. `in_force` is the day of that load, which stays in force."""

    vendor: str
    business_date: date
    step: str
    in_force: date
    reason: str

    def __str__(self) -> str:
        """Return one line: `<vendor> 2026-11-25: rejected by validate; 2026-11-24 is in force: <reason>`."""
        return (
            f"{self.vendor} {self.business_date}: rejected by {self.step}; {self.in_force} is in force: {self.reason}"
        )


def find_rejected(engine: sa.Engine) -> list[Rejected]:
    """Return the newest rejection of each vendor that was recorded after the vendor's newest load, for the same day or a later one."""
    with engine.connect() as connection:
        rows = connection.execute(_REJECTED).all()
    return [Rejected(r.vendor, r.rejected_date, r.rejected_in, r.business_date, r.reason) for r in rows]


def find_dead_letters(engine: sa.Engine, since: datetime, run_id: str = "", vendor: str = "") -> list[DeadLetters]:
    """Return the tables with open dead letters.

    A dead letter counts as new if it was recorded at or after `since` and the same row had none before for the same reasons.

    Args:
        engine: The control database.
        since: Time with time zone.
        run_id: Count only the dead letters of this run; empty for all runs.
        vendor: The run's vendor, because the DAGs of several vendors have runs of the same id.
    """
    with engine.connect() as connection:
        rows = connection.execute(sa.text(_DEAD_LETTERS), {"since": since, "run_id": run_id, "vendor": vendor}).all()
    return [
        DeadLetters(r.vendor, r.table_name, r.open, r.new, r.since, r.money_usd, r.unreadable, tuple(r.reasons))
        for r in rows
    ]


def find_breaks(engine: sa.Engine, since: datetime, run_id: str = "", vendor: str = "") -> list[Break]:
    """Return the reconciliation checks that failed, had breaks that dead letters explain, or were accepted by an operator.

    If a check was repeated for the same day, only its newest result counts.

    Args:
        engine: The control database.
        since: Leave out checks before this time.
        run_id: Only the checks of this run; empty for all runs.
        vendor: The run's vendor.
    """
    with engine.connect() as connection:
        values = {"since": since, "run_id": run_id, "vendor": vendor}
        return [Break(*row) for row in connection.execute(_BREAKS, values)]


def find_held_back(engine: sa.Engine, now: datetime) -> list[HeldBack]:
    """Return the vendors whose newest load is older than `UNDER_WAY` and is not reconciled, or failed a reconciliation check."""
    with engine.connect() as connection:
        return [HeldBack(*row) for row in connection.execute(_HELD_BACK, {"before": now - UNDER_WAY})]


def find_conflicts(engine: sa.Engine) -> list[SecurityConflict]:
    """Return the security numbers that vendors assign to different kinds of security, with these kinds."""
    with engine.connect() as connection:
        return [SecurityConflict(row.number, tuple(row.kinds), row.since) for row in connection.execute(_CONFLICTS)]


def find_undeclared(engine: sa.Engine, since: datetime) -> list[UndeclaredFields]:
    """Return the undeclared fields of each table that were first seen at or after `since`."""
    with engine.connect() as connection:
        rows = connection.execute(_UNDECLARED, {"since": since}).all()
    return [UndeclaredFields(row.vendor, row.table_name, tuple(row.fields), row.since) for row in rows]


def find_last(engine: sa.Engine, now: datetime) -> datetime | None:
    """Return when the last digest that was sent before `now` was recorded; None if none was sent."""
    with engine.connect() as connection:
        last: datetime | None = connection.execute(_LAST, {"before": now}).scalar()
    return last


def write_digest(engine: sa.Engine, now: datetime, backup_limit: timedelta = timedelta()) -> str:
    """Return the day's digest as text: a heading per section and a line per item; empty if there is nothing to report.

    New dead letters, breaks and undeclared fields are those since the last digest. If there is no last digest: those of the last day,
    and all undeclared fields.

    Args:
        engine: The control database.
        now: The time, with time zone.
        backup_limit: Maximum age of the last backup; zero leaves backups out. See `include.control.backups`.
    """
    missing = find_missing(engine, now, backup_limit)
    last = find_last(engine, now)
    since = last or now - timedelta(days=1)
    return _write(
        ("Rejected days: the last good day is in force", find_rejected(engine)),
        ("Open dead letters", find_dead_letters(engine, since)),
        ("Reconciliation: breaks since the last digest", find_breaks(engine, since)),
        ("Held back from Salesforce", find_held_back(engine, now)),
        ("Securities that vendors describe as different kinds", find_conflicts(engine)),
        ("New undeclared fields: not staged", find_undeclared(engine, last or BEGINNING)),
        ("Backups", [missing] if missing else []),
    )


def write_warning(engine: sa.Engine, run_id: str, vendor: str) -> str:
    """Return the new dead letters and the reconciliation breaks of a vendor's run, as text for a warning; empty if there are none."""
    new = [each for each in find_dead_letters(engine, BEGINNING, run_id, vendor) if each.new]
    return _write(
        ("New dead letters", new),
        ("Reconciliation: breaks of this run", find_breaks(engine, BEGINNING, run_id, vendor)),
    )


def _write(*parts: tuple[str, Sequence[object]]) -> str:
    return "\n".join("\n".join([f"{title}:", *(f"- {each}" for each in items)]) for title, items in parts if items)
