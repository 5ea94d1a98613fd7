"""The preview of a backfill: each business date of a range with the data that its run loads, and the request that starts the runs.

Airflow's backfill selects runs by the start of their data interval. This module computes the intervals, so that operators choose
business dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from croniter import croniter

from include import business_dates
from include.contract import Vendor
from include.errors import InputRejected

MOST_DATES = 300
"""Maximum number of business dates of one backfill: a year and some weeks."""

_STATES = sa.text("""
select business_date, state from control.vendor_day where vendor = :vendor and business_date between :first and :last
""")


@dataclass(frozen=True, slots=True)
class BackfillDate:
    """One business date of a backfill.

    Attributes:
        business_date: The date.
        state: Its state in the warehouse, as in `control.vendor_day`; `missing` if nothing was pulled for it.
        loads: Tables that a run for the date loads.
        left_out: Tables that the vendor can't return as of the date, because it is past.
        interval_start: Start of the data interval of the scheduled run for the date, with time zone.
        run_at: When the scheduled run for the date is due, with time zone: the end of the interval.
    """

    business_date: date
    state: str
    loads: tuple[str, ...]
    left_out: tuple[str, ...]
    interval_start: datetime
    run_at: datetime


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """The preview of a backfill.

    Attributes:
        dates: The business dates that a backfill can load, the earliest first.
        waiting: The business dates whose scheduled run is not due yet, so that a backfill can't load them.
        request: Body of Airflow's `POST /api/v2/backfills` without `reprocess_behavior`; None without dates.
    """

    dates: tuple[BackfillDate, ...]
    waiting: tuple[BackfillDate, ...]
    request: dict[str, Any] | None


def can_backfill(vendor: Vendor) -> bool:
    """Return whether the vendor can return a past date, and has one scheduled run per day, so that Airflow's backfill loads each date once."""
    return any(table.states_past for table in vendor.requested_tables) and _runs_once_a_day(vendor)


def plan_backfill(connection: sa.Connection, vendor: Vendor, first: str, last: str, now: datetime) -> BackfillPlan:
    """Return the preview of a backfill.

    Args:
        connection: The database, as a role that may read `control`.
        vendor: The vendor.
        first: First day, as `YYYY-MM-DD`; it need not be a trading day.
        last: Last day, included.
        now: Current time, with time zone.

    Raises:
        InputRejected: The days are not a valid range; the message states the reason.
    """
    days = _read_range(first, last, now)
    states: dict[date, str] = dict(
        connection.execute(_STATES, {"vendor": vendor.name, "first": days[0], "last": days[-1]}).tuples().all()
    )
    intervals, latest = find_intervals(vendor, days), business_dates.latest_closed(now)
    planned = [
        BackfillDate(day, states.get(day, "missing"), *_split_tables(vendor, is_past=day < latest), *intervals[day])
        for day in days
        if day in intervals
    ]
    ready = tuple(each for each in planned if each.run_at < now)
    return BackfillPlan(ready, tuple(each for each in planned if each.run_at >= now), _write_request(vendor, ready))


def _read_range(first: str, last: str, now: datetime) -> list[date]:
    start, end = (_parse_day(text) for text in (first, last))
    closed = business_dates.latest_closed(now)
    if start > end:
        raise InputRejected(f"The first day ({start}) is after the last day ({end})")
    if start < business_dates.FIRST:
        raise InputRejected(f"{start} is too early; the first business date is {business_dates.FIRST}")
    days = business_dates.list_trading_days(start, min(end, closed)) if start <= closed else []
    if not days:
        raise InputRejected(
            f"There is no closed trading day from {start} to {end}; the latest closed trading day is {closed}"
        )
    if len(days) > MOST_DATES:
        raise InputRejected(f"{start} to {end} are {len(days)} trading days; choose at most {MOST_DATES}")
    return days


def _parse_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputRejected(f"{text!r} is not a date; use the format 2026-11-25") from error


def _split_tables(vendor: Vendor, *, is_past: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tables that a run loads, and those that the vendor can't return for its date."""
    names = [(table.name, table.states_past or not is_past) for table in vendor.requested_tables]
    return tuple(name for name, loads in names if loads), tuple(name for name, loads in names if not loads)


def find_intervals(vendor: Vendor, days: Sequence[date]) -> dict[date, tuple[datetime, datetime]]:
    """Return the start and the end of the data interval of the scheduled run that loads each business date; leave out a date without one.

    It is the first scheduled run after the date has closed. All times are in the vendor's time zone.

    Args:
        vendor: The vendor.
        days: Business dates, the earliest first.
    """
    week_before = datetime.combine(days[0], time(), ZoneInfo(vendor.timezone)) - timedelta(days=7)
    starts = croniter(vendor.cron, week_before)
    begin, closed = starts.get_next(datetime), days[0] - timedelta(days=1)
    intervals: dict[date, tuple[datetime, datetime]] = {}
    while closed < days[-1]:
        end = starts.get_next(datetime)
        closed = business_dates.latest_closed(end)
        intervals.setdefault(closed, (begin, end))
        begin = end
    return {day: intervals[day] for day in days if day in intervals}


def _write_request(vendor: Vendor, dates: Sequence[BackfillDate]) -> dict[str, Any] | None:
    if not dates:
        return None
    return {
        "dag_id": vendor.name,
        "from_date": dates[0].interval_start.isoformat(),
        "to_date": dates[-1].interval_start.isoformat(),
        "max_active_runs": 1,
        "run_backwards": False,
        "dag_run_conf": {},
    }


def _runs_once_a_day(vendor: Vendor) -> bool:
    starts = croniter(vendor.cron, datetime(2026, 1, 1, tzinfo=ZoneInfo(vendor.timezone)))
    first, second = starts.get_next(datetime), starts.get_next(datetime)
    return bool(second - first >= timedelta(hours=23))  # a day with a change of the clock
