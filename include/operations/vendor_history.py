"""The recent business dates of one vendor: days, tables, schema changes, calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from include import business_dates
from include.operations.vendor_status import DAY_COLUMNS, VendorDay

_DAYS = sa.text("""
select * from control.vendor_day where vendor = :vendor and business_date between :first and :last order by business_date
""")
_TABLES = sa.text("""
select * from control.table_day where vendor = :vendor and business_date between :first and :last order by table_name, business_date
""")
_DRIFT = sa.text("""
select table_name, field, first_seen_at, last_seen_at from control.drift where vendor = :vendor order by last_seen_at desc, 1, 2 limit 200
""")
_CALLS = sa.text("""
select path, count(*) as calls, count(*) filter (where status is null or status >= 400) as failed,
       count(*) filter (where status = 429) as throttled, percentile_disc(0.5) within group (order by latency_ms) as p50_ms,
       percentile_disc(0.95) within group (order by latency_ms) as p95_ms, sum(bytes)::bigint as bytes,
       (array_agg(correlation_id order by called_at desc) filter (where correlation_id is not null))[1] as correlation_id
from control.api_call where vendor = :vendor and called_at > :since group by path order by calls desc limit 50
""")
_Rows = Sequence[sa.RowMapping]


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day in a vendor's calendar. `day` is None if nothing was pulled or rejected for it."""

    business_date: date
    day: VendorDay | None

    @property
    def state(self) -> str:
        """The day's state, as in `control.vendor_day`; `missing` if `day` is None."""
        return self.day.state if self.day else "missing"


@dataclass(frozen=True, slots=True)
class TableHistory:
    """The recent past of one table.

    Attributes:
        name: Name of the table.
        newest: The table's newest day.
        rows: Number of rows on each trading day of the history; None for a day on which the table was not pulled.
        money: Control total in dollars on each trading day, as `rows`; None if the table has no money.
    """

    name: str
    newest: sa.RowMapping
    rows: tuple[int | None, ...]
    money: tuple[float | None, ...] | None


@dataclass(frozen=True, slots=True)
class VendorHistory:
    """A vendor's recent past.

    Attributes:
        sessions: The trading days, the oldest first, from the first that has data.
        tables: Each table that was pulled in this time.
        drift: Undeclared fields that the vendor sends: table, field, first and last time seen.
        calls: The calls of the last day by path.
    """

    sessions: tuple[Session, ...]
    tables: tuple[TableHistory, ...]
    drift: _Rows
    calls: _Rows


def read_vendor_history(
    connection: sa.Connection, vendor: str, last: date, sessions: int, now: datetime
) -> VendorHistory:
    """Return the history of a vendor over a number of trading days.

    Args:
        connection: The database, as a role that may read `control`.
        vendor: Name of the vendor.
        last: The last business date.
        sessions: Number of trading days, `last` included.
        now: Current time, with time zone; calls are those of the day before it.
    """
    first = last - timedelta(days=sessions * 7 // 5 + 10)
    dates = business_dates.list_trading_days(first, last)[-sessions:]
    span = {"vendor": vendor, "first": dates[0], "last": last}
    days = {row["business_date"]: _read_day(row) for row in connection.execute(_DAYS, span).mappings()}
    recent = {"vendor": vendor, "since": now - timedelta(days=1)}
    dates = [day for day in dates if day >= min(days, default=last)]
    return VendorHistory(
        tuple(Session(day, days.get(day)) for day in dates),
        tuple(_group_tables(connection.execute(_TABLES, span).mappings().all(), dates)),
        read_drift(connection, vendor),
        connection.execute(_CALLS, recent).mappings().all(),
    )


def read_drift(connection: sa.Connection, vendor: str) -> _Rows:
    """Return the undeclared fields that a vendor sends, the newest first: table, field, first and last time seen."""
    return connection.execute(_DRIFT, {"vendor": vendor}).mappings().all()


def _group_tables(rows: _Rows, dates: Sequence[date]) -> list[TableHistory]:
    by_table: dict[str, dict[date, sa.RowMapping]] = {}
    for row in rows:
        by_table.setdefault(row["table_name"], {})[row["business_date"]] = row
    return [
        TableHistory(
            name, days[max(days)], _list_values(days, dates, "staged") or (), _list_values(days, dates, "money_usd")
        )
        for name, days in by_table.items()
    ]


def _list_values(days: Mapping[date, sa.RowMapping], dates: Sequence[date], column: str) -> tuple[Any, ...] | None:
    """Return a column's value on each date, None for a date without the table; None in all if no date has a value."""
    values = tuple(days[day][column] if day in days else None for day in dates)
    return None if all(value is None for value in values) else values


def _read_day(row: Any) -> VendorDay:
    return VendorDay(**{name: row[name] for name in DAY_COLUMNS})
