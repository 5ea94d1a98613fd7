"""The calls of one vendor's API: by hour, the newest failures, the rate budget that is left, and when it last responded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from include.contract import FanOut, Vendor

_HOURS = sa.text("""
select date_trunc('hour', called_at) as hour, count(*) as calls, count(*) filter (where status is null or status >= 400) as failed,
       count(*) filter (where status = 429) as throttled, percentile_disc(0.5) within group (order by latency_ms) as p50_ms,
       percentile_disc(0.95) within group (order by latency_ms) as p95_ms
from control.api_call where vendor = :vendor and called_at > :since group by 1 order by 1 desc
""")
_FAILURES = sa.text("""
select called_at, path, status, latency_ms, correlation_id, run_id
from control.api_call where vendor = :vendor and called_at > :since and (status is null or status >= 400) order by called_at desc limit 10
""")
_RECENT = sa.text("""
select table_name, count(*) as in_hour, count(*) filter (where called_at > :minute) as in_minute
from control.api_call where vendor = :vendor and called_at > :hour group by 1
""")
_PAUSED = sa.text(
    "select spoken_until from control.rate_budget where vendor = :vendor and bucket = 'all' and spoken_until > :now"
)
# Calls are read only for the last day. A loaded pull also proves that the login worked.
_ANSWERED = sa.text("""
select greatest((select max(called_at) from control.api_call where vendor = :vendor and called_at > :since and status between 200 and 299),
                (select max(extracted_at) from control.ledger where vendor = :vendor)) as answered_at,
       (select max(called_at) from control.api_call where vendor = :vendor and called_at > :since and status in (401, 403)) as refused_at
""")

_Rows = Sequence[sa.RowMapping]


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit of a vendor's rate budget: its name, its calls per period, and how many of them were made in the last period."""

    name: str
    limit: float
    period: str
    used: int

    @property
    def left(self) -> int:
        """Number of calls that are left in the period."""
        return max(0, int(self.limit) - self.used)


@dataclass(frozen=True, slots=True)
class VendorCalls:
    """The calls of a vendor's API.

    Attributes:
        hours: The calls of the last day by hour, the newest first.
        failures: The newest failed calls of the last day.
        allowances: The declared rate budget; the firm's connection may lower it.
        paused_until: Until when all calls wait, because the budget is used up or the vendor asked for a pause; None if they don't.
        answered_at: When the vendor last responded to an authorized call; None if it never did.
        refused_at: When the vendor last refused the credentials, in the last day; None if it did not.
    """

    hours: _Rows
    failures: _Rows
    allowances: tuple[Allowance, ...]
    paused_until: datetime | None
    answered_at: datetime | None
    refused_at: datetime | None


def read_vendor_calls(connection: sa.Connection, vendor: Vendor, now: datetime) -> VendorCalls:
    """Return the calls of a vendor's API in the day before `now`, which has a time zone."""
    values = {"vendor": vendor.name, "since": now - timedelta(days=1), "now": now}
    bounds = {"vendor": vendor.name, "hour": now - timedelta(hours=1), "minute": now - timedelta(minutes=1)}
    recent = {row["table_name"]: row for row in connection.execute(_RECENT, bounds).mappings()}
    return VendorCalls(
        connection.execute(_HOURS, values).mappings().all(),
        connection.execute(_FAILURES, values).mappings().all(),
        tuple(_list_allowances(vendor, recent)),
        connection.scalar(_PAUSED, values),
        *connection.execute(_ANSWERED, values).one(),
    )


def _list_allowances(vendor: Vendor, recent: Mapping[str, sa.RowMapping]) -> Iterator[Allowance]:
    yield Allowance(
        "All calls", vendor.budget.calls_per_minute, "minute", sum(row["in_minute"] for row in recent.values())
    )
    for bucket, limit in vendor.budget.calls_per_hour.items():
        tables = [
            table.name
            for table in vendor.requested_tables
            if isinstance(table.shape, FanOut) and table.shape.bucket == bucket
        ]
        yield Allowance(
            ", ".join(tables) or bucket,
            limit,
            "hour",
            sum(recent[name]["in_hour"] for name in tables if name in recent),
        )
