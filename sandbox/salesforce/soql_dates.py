"""Date literals of SOQL, such as `TODAY`, `LAST_N_DAYS:30` or `THIS_QUARTER`. Each is a range of whole days.

Source: https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_dateformats.htm
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

TIME_ZONE = ZoneInfo("America/New_York")
"""Time zone of all users of the org; it determines where a day begins and ends."""

_DAYS = {"YESTERDAY": -1, "TODAY": 0, "TOMORROW": 1}
_WHICH = {"LAST": -1, "THIS": 0, "NEXT": 1}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_NAMED = re.compile(r"(LAST|THIS|NEXT)_(WEEK|MONTH|QUARTER|YEAR)")
_COUNTED = re.compile(r"(LAST|NEXT)_N_(DAY|WEEK|MONTH|QUARTER|YEAR)S")
_AGO = re.compile(r"N_(DAY|WEEK|MONTH|QUARTER|YEAR)S_AGO")
_NINETY = re.compile(r"(LAST|NEXT)_90_DAYS")


@dataclass(frozen=True)
class Span:
    """A range of whole units of time, such as days or quarters.

    `first` and `end` count units from the current one, which is 0; `end` is exclusive. So last month is `Span("MONTH", -1, 0)`.
    """

    unit: str
    first: int
    end: int

    def find_days(self, today: date) -> tuple[date, date]:
        """Return the first day of the range, and the first day after it."""
        return _find_start(self.unit, today, self.first), _find_start(self.unit, today, self.end)

    def find_moments(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the start of the range and its end (exclusive), in the users' time zone."""
        first, end = self.find_days(now.astimezone(TIME_ZONE).date())
        return datetime.combine(first, time(), TIME_ZONE), datetime.combine(end, time(), TIME_ZONE)


def parse_span(word: str, count: int | None) -> Span | None:
    """Return the range of a date literal; None if the word is not a date literal.

    Args:
        word: The literal without its number, such as `TODAY` or `LAST_N_DAYS`.
        count: The number after the colon; None without one.
    """
    word = word.upper()
    if ninety := _NINETY.fullmatch(word):
        word, count = f"{ninety[1]}_N_DAYS", 90 if count is None else None
    if count is None:
        if word in _DAYS:
            return Span("DAY", _DAYS[word], _DAYS[word] + 1)
        match = _NAMED.fullmatch(word)
        return Span(match[2], _WHICH[match[1]], _WHICH[match[1]] + 1) if match else None
    if ago := _AGO.fullmatch(word):
        return Span(ago[1], -count, -count + 1)
    counted = _COUNTED.fullmatch(word)
    if counted is None:
        return None
    if counted[1] == "NEXT":
        return Span(counted[2], 1, count + 1)
    return Span(counted[2], -count, 1 if counted[2] == "DAY" else 0)  # only LAST_N_DAYS includes the current unit


def _find_start(unit: str, day: date, offset: int) -> date:
    """Return the first day of the unit of time that is `offset` units after the one with `day`. Weeks begin on Sunday."""
    if unit == "DAY":
        return day + timedelta(offset)
    if unit == "WEEK":
        return day - timedelta(day.isoweekday() % 7) + timedelta(weeks=offset)
    months = (day.year * 12 + day.month - 1) // _MONTHS[unit] * _MONTHS[unit] + offset * _MONTHS[unit]
    return date(months // 12, months % 12 + 1, 1)
