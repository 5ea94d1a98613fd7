"""Business dates: trading days of the New York Stock Exchange."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

from include.errors import InputRejected

FIRST = date(2010, 1, 4)


def get_now() -> datetime:
    """Return the current time. In a demo whose data ends on an earlier day, this is a time on that day."""
    return datetime.now(UTC) - read_clock_offset()


def read_clock_offset() -> timedelta:
    """Return how far `get_now` is behind the clock: the environment variable `TRIBUTARY_CLOCK_BEHIND` in seconds, which only the demo sets."""
    return timedelta(seconds=float(os.environ.get("TRIBUTARY_CLOCK_BEHIND", "0")))


@cache
def _calendar() -> Any:
    import exchange_calendars

    # The calendar starts before FIRST, so that `previous(FIRST)` works.
    return exchange_calendars.get_calendar("XNYS", start="2009-12-01")


def latest_closed(now: datetime) -> date:
    """Return the last trading day that had closed by `now`, which must have a time zone."""
    minute = _timestamp(now)
    session = _calendar().date_to_session(minute.tz_convert("America/New_York").date(), direction="previous")
    if _calendar().session_close(session) > minute:
        session = _calendar().previous_session(session)
    day: date = session.date()
    return day


def find_close(day: date) -> datetime:
    """Return when a trading day closes, with a time zone."""
    close: datetime = _calendar().session_close(str(day)).to_pydatetime()
    return close


def business_date(interval_end: datetime | None) -> date:
    """Return the business date of a run: the last trading day closed by the end of its data interval.

    Args:
        interval_end: End of the data interval; None (a manual run) means now.
    """
    return latest_closed(interval_end or get_now())


def parse_business_date(text: str, now: datetime | None = None) -> date:
    """Parse the business date that a user entered, as `YYYY-MM-DD`.

    Raises:
        InputRejected: The text is not a date, or the date is not a trading day, is before 2010, or has not closed yet. The message
            suggests a valid date.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputRejected(f"{text!r} is not a date; use the format 2026-11-25") from error
    if day < FIRST:
        raise InputRejected(f"{day} is too early; the first business date is {FIRST}")
    if _is_holiday(day):
        raise InputRejected(
            f"{day} is not a trading day of the New York Stock Exchange; the previous one is {previous(day)}"
        )
    closed = latest_closed(now or get_now())
    if day > closed:
        raise InputRejected(f"{day} has not closed yet; the latest closed trading day is {closed}")
    return day


def is_past(day: date, now: datetime | None = None) -> bool:
    """Return whether a later trading day than this day has closed. A pull for a past day may only request data as of that day."""
    return day < latest_closed(now or get_now())


def previous(day: date) -> date:
    """Return the trading day before a day."""
    import pandas as pd

    session = _calendar().date_to_session(pd.Timestamp(day) - pd.Timedelta(days=1), direction="previous")
    before: date = session.date()
    return before


def list_trading_days(first: date, last: date) -> list[date]:
    """Return the trading days from first to last, both included."""
    return [session.date() for session in _calendar().sessions_in_range(str(first), str(last))]


def _is_holiday(day: date) -> bool:
    """Return whether the exchange is closed all day; False for days after the last one of the calendar."""
    return day <= _calendar().last_session.date() and not _calendar().is_session(str(day))


def _timestamp(moment: datetime) -> Any:
    import pandas as pd

    return pd.Timestamp(moment).tz_convert("UTC")
