"""The state of each vendor today: a light, and a sentence for each reason.

green   the day that is due is loaded and nothing is missing
amber   the numbers are usable, but something needs attention
red     the day that is due is missing or was rejected
grey    nothing has been loaded yet
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

import sqlalchemy as sa

from include.contract import Vendor
from include.control.lateness import Due, find_due

Light = Literal["green", "grey", "amber", "red"]
SEVERITY: tuple[Light, ...] = ("green", "grey", "amber", "red")
"""The lights, from the best to the worst."""

FEW_CALLS = 20
"""Minimum number of calls in the last hour. With fewer calls, the ratio of failed calls is not evaluated."""
MOST_FAILED_RATIO = 0.05
"""Maximum ratio (0-1) of failed calls in the last hour. A higher ratio is a concern."""

# The lateral subquery stays a subquery (`offset 0`), so that its view reads one day of the ledger instead of all.
_DAYS = sa.text("""
select day.*, f.business_date as in_force_date, f.loaded_at as in_force_since,
       exists (select from control.ledger l where l.vendor = v.vendor and l.recorded_at < v.start) as is_live
from unnest(cast(:vendors as text[]), cast(:starts as timestamptz[])) as v(vendor, start)
cross join lateral (
    select greatest((select max(business_date) from control.ledger where vendor = v.vendor and pulled in ('current', 'historical')),
                    (select max(business_date) from control.rejection where vendor = v.vendor)) as newest
) n
cross join lateral (select * from control.vendor_day d where d.vendor = v.vendor and d.business_date = n.newest offset 0) day
left join lateral (
    select business_date, recorded_at as loaded_at from control.ledger l
    where l.vendor = v.vendor and stage = 'load' and pulled = 'current' order by business_date desc, ledger_id desc limit 1
) f on true
""")
_OPEN = sa.text("""
select vendor, count(*) as dead_letters, coalesce(sum(abs(money_usd)), 0) as money_usd from control.dead_letter
where status = 'open' and vendor = any(:vendors) group by vendor
""")
_OUTAGES = sa.text("select vendor, min(since) as since from control.outage where over_at is null group by vendor")
_UNUSED = sa.text("select vendor, since from control.unused_vendor")
_CALLS = sa.text("""
select vendor, count(*) as calls, count(*) filter (where status is null or status >= 400) as failed,
       count(*) filter (where status = 429) as throttled, percentile_disc(0.5) within group (order by latency_ms) as p50_ms,
       percentile_disc(0.95) within group (order by latency_ms) as p95_ms
from control.api_call where called_at > :since group by vendor
""")


class Concern(NamedTuple):
    """Something that needs attention: its light, which shows how bad it is, and a sentence."""

    light: Light
    text: str


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of a vendor's API in the last hour. `p50_ms` and `p95_ms` are percentiles of the latency; None without calls."""

    calls: int = 0
    failed: int = 0
    throttled: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None

    @property
    def failed_ratio(self) -> float:
        """The ratio of failed calls (0-1)."""
        return self.failed / self.calls if self.calls else 0.0


@dataclass(frozen=True, slots=True)
class VendorDay:
    """A row of the view `control.vendor_day`, which explains the columns."""

    vendor: str
    business_date: date
    state: str
    reconciliation: str
    run_id: str | None
    tables_pulled: int
    loaded_tables: list[str]
    rows: int
    rows_changed: int
    dead_letters: int
    dead_money_usd: Decimal
    dead_money_unreadable: int
    pulled_at: datetime | None
    loaded_at: datetime | None
    rejected_at: datetime | None
    rejected_because: str | None
    breaks: int
    explained: int
    control_total_off_usd: Decimal | None


DAY_COLUMNS = tuple(VendorDay.__slots__)


@dataclass(frozen=True, slots=True)
class VendorStatus:
    """The state of one vendor at one time.

    Attributes:
        due: The newest business date that a scheduled run should have loaded.
        day: The newest business date with a full pull or a rejection; None if there is none.
        in_force_date: The newest business date that was loaded: the marts show it. None if nothing was loaded.
        is_live: Whether the vendor had any ledger row before the first scheduled run for that date. If not, its DAG was paused, and the run is
            not missed.
        dead_letters: Number of open dead letters of all days.
        dead_money_usd: Sum of the absolute amounts in these dead letters that can be read.
        outage_since: Since when the vendor's API fails; None if it responds.
        calls: Calls to the vendor's API in the last hour.
        unused_since: Since when the firm has no connection to the vendor, although it has data; None if it uses the vendor.
    """

    vendor: Vendor
    due: Due
    day: VendorDay | None = None
    in_force_date: date | None = None
    is_live: bool = False
    dead_letters: int = 0
    dead_money_usd: Decimal = Decimal(0)
    outage_since: datetime | None = None
    calls: Calls = field(default_factory=Calls)
    unused_since: datetime | None = None

    def find_concerns(self, now: datetime) -> list[Concern]:
        """Return everything that needs attention, the worst first; empty if nothing does."""
        if self.unused_since:
            return []
        concerns = [*self._check_arrival(now), *self._check_day(), *self._check_calls(now)]
        return sorted(concerns, key=lambda concern: -SEVERITY.index(concern.light))

    def summarize(self, now: datetime) -> Concern:
        """Return the worst concern; if there is none, the newest loaded day (green), or that no day was loaded (grey)."""
        if concerns := self.find_concerns(now):
            return concerns[0]
        if self.unused_since:
            return Concern("grey", f"Not used since {self.unused_since:%Y-%m-%d}: the firm has no connection to it.")
        day = self.day
        if day is None:
            return Concern("grey", "Nothing has been loaded yet.")
        if day.loaded_at is None:
            text = f"{day.business_date} is pulled, and not loaded yet."
            is_first = self.in_force_date is None
            return Concern("grey", text) if is_first else Concern("green", f"{self.in_force_date} is in. {text}")
        verdict = {
            "reconciled": "It is reconciled.",
            "changed since": "Pushed or edited rows changed it since it was reconciled; the next daily run compares them.",
            "not compared": "The vendor states no totals to compare it with.",
        }
        text = f"{day.business_date} is in: {day.rows:,} rows. {verdict.get(day.reconciliation, '')}"
        if day.business_date < self.due.business_date and now < (due_at := self.due.stages["load"]):
            text += f" {self.due.business_date} is due at {due_at:%H:%M %Z}."
        return Concern("green", text)

    @property
    def missing_tables(self) -> list[str]:
        """The tables that a daily run loads and that the newest day lacks, in the order of the declaration."""
        mapped = {entity_map.table for entity_map in self.vendor.maps}
        expected = [table.name for table in self.vendor.requested_tables if table.name in mapped]
        return [name for name in expected if self.day is None or name not in self.day.loaded_tables]

    def measure_lateness(self, now: datetime) -> float:
        """Return by how many seconds the day that is due is late; 0 if all its tables are loaded, or no day is due."""
        due, due_at = self.due.business_date, self.due.stages["load"]
        is_in = self.in_force_date is not None and self.in_force_date >= due
        is_complete = (
            self.day is None or self.day.business_date < due or not self.day.loaded_at or not self.missing_tables
        )
        return 0.0 if not self.is_live or (is_in and is_complete) else max(0.0, (now - due_at).total_seconds())

    def _check_arrival(self, now: datetime) -> Iterable[Concern]:
        due, due_at = self.due.business_date, self.due.stages["load"]
        is_due = self.is_live and now >= due_at
        if is_due and (self.in_force_date is None or self.in_force_date < due):
            yield Concern("red", f"{due} is late: it was due at {due_at:%H:%M %Z} and is not loaded.")
        elif self.day and self.day.loaded_at and (missing := self.missing_tables):
            text = f"{self.day.business_date} is not complete: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not loaded."
            yield Concern("red" if is_due and self.day.business_date >= due else "amber", text)
        if self.day and self.day.state == "rejected":
            stays = f"{self.in_force_date} stays in force." if self.in_force_date else "Nothing is in force."
            yield Concern("red", f"{self.day.business_date} was rejected. {stays}")

    def _check_day(self) -> Iterable[Concern]:
        if self.dead_letters:
            yield Concern(
                "amber", f"{count(self.dead_letters, 'row')} could not be processed{_with(self.dead_money_usd)}."
            )
        if self.day and self.day.state != "rejected":
            about = f"{count(self.day.breaks, 'difference')} on {self.day.business_date}"
            if self.day.reconciliation == "failed":
                yield Concern("red", f"{about} since rows were pushed. Salesforce keeps the earlier values.")
            if self.day.reconciliation == "explained":
                yield Concern("amber", f"{about}, which open dead letters explain.")
            if self.day.reconciliation == "accepted":
                yield Concern("amber", f"{about}, which an operator accepted.")

    def _check_calls(self, now: datetime) -> Iterable[Concern]:
        if self.outage_since:
            minutes = int((now - self.outage_since).total_seconds() // 60)
            yield Concern("amber", f"The vendor has not responded for {count(minutes, 'minute')}.")
        elif self.calls.calls >= FEW_CALLS and self.calls.failed_ratio > MOST_FAILED_RATIO:
            yield Concern(
                "amber", f"{self.calls.failed:,} of {count(self.calls.calls, 'call')} failed in the last hour."
            )


def read_vendor_status(connection: sa.Connection, vendors: Sequence[Vendor], now: datetime) -> list[VendorStatus]:
    """Return the status of each vendor, in the order given."""
    due = {vendor.name: find_due(vendor, now) for vendor in vendors}
    names = list(due)
    days = _by_vendor(connection, _DAYS, vendors=names, starts=[due[name].start for name in names])
    dead = _by_vendor(connection, _OPEN, vendors=names)
    outages = _by_vendor(connection, _OUTAGES)
    calls = _by_vendor(connection, _CALLS, since=now - timedelta(hours=1))
    facts = (days, dead, outages, calls, _by_vendor(connection, _UNUSED))
    return [_assemble(vendor, due[vendor.name], *(found.get(vendor.name, {}) for found in facts)) for vendor in vendors]


def _assemble(
    vendor: Vendor,
    due: Due,
    day: Mapping[str, object],
    dead: Mapping[str, object],
    outage: Mapping[str, object],
    calls: Mapping[str, object],
    unused: Mapping[str, object],
) -> VendorStatus:
    known = {
        "day": VendorDay(**{name: day[name] for name in DAY_COLUMNS}) if day else None,  # type: ignore[arg-type]
        "in_force_date": day.get("in_force_date"),
        "is_live": day.get("is_live", False),
        "dead_letters": dead.get("dead_letters", 0),
        "dead_money_usd": dead.get("money_usd", Decimal(0)),
        "outage_since": outage.get("since"),
        "calls": Calls(**{name: calls[name] for name in Calls.__slots__}) if calls else Calls(),  # type: ignore[arg-type]
        "unused_since": unused.get("since"),
    }
    return VendorStatus(vendor, due, **known)  # type: ignore[arg-type]


def _by_vendor(connection: sa.Connection, query: sa.TextClause, **values: object) -> dict[str, Mapping[str, object]]:
    return {row["vendor"]: dict(row) for row in connection.execute(query, values).mappings()}


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 row` or `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _with(money_usd: Decimal) -> str:
    return f", with ${money_usd:,.2f}" if money_usd else ""
