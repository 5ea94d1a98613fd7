"""Business dates: sessions of the New York Stock Exchange."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from include.errors import InputRejected

FIRST = date(2010, 1, 4)


@cache
def _calendar() -> Any:
    import exchange_calendars

    # From before the first day, which may be asked for the session before it.
    return exchange_calendars.get_calendar("XNYS", start="2009-12-01")


def latest_closed(now: datetime) -> date:
    """Returns the last session that had closed at a moment (aware)."""
    minute = _timestamp(now)
    session = _calendar().date_to_session(minute.tz_convert("America/New_York").date(), direction="previous")
    if _calendar().session_close(session) > minute:
        session = _calendar().previous_session(session)
    day: date = session.date()
    return day


def business_date(interval_end: datetime | None) -> date:
    """Returns the day that a run is about: the last session closed by the end of its interval.

    Args:
        interval_end: End of the data interval; None (a manual run) stands for now.
    """
    return latest_closed(interval_end or datetime.now(UTC))


def read_asked(text: str, now: datetime | None = None) -> date:
    """Returns the business date that a person asked for, as `YYYY-MM-DD`.

    Raises:
        InputRejected: It is no date, no session, before the year 2010, or has not closed yet; the message says which day is.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputRejected(f"{text!r} is no date; write it like 2026-11-25") from error
    if day < FIRST:
        raise InputRejected(f"{day} is too long ago; business dates begin with {FIRST}")
    if _is_holiday(day):
        raise InputRejected(f"{day} is no session of the New York Stock Exchange; the one before is {previous(day)}")
    closed = latest_closed(now or datetime.now(UTC))
    if day > closed:
        raise InputRejected(f"{day} has not closed yet; the latest session that has is {closed}")
    return day


def is_past(day: date, now: datetime | None = None) -> bool:
    """Whether a later session has closed since, so that only what can be stated as of that day may be pulled."""
    return day < latest_closed(now or datetime.now(UTC))


def previous(day: date) -> date:
    """Returns the session before a day."""
    import pandas as pd

    session = _calendar().date_to_session(pd.Timestamp(day) - pd.Timedelta(days=1), direction="previous")
    before: date = session.date()
    return before


def between(first: date, last: date) -> list[date]:
    """Returns the sessions from first to last, both included."""
    return [session.date() for session in _calendar().sessions_in_range(str(first), str(last))]


def _is_holiday(day: date) -> bool:
    """Whether the exchange stays closed that day; beyond the calendar's last year nobody knows of any."""
    return day <= _calendar().last_session.date() and not _calendar().is_session(str(day))


def _timestamp(moment: datetime) -> Any:
    import pandas as pd

    return pd.Timestamp(moment).tz_convert("UTC")
