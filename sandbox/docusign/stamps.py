"""DocuSign's dates: timestamps with seven decimals, and the formats that a caller may use.

Documented:

- Timestamps have seven decimals ("2020-05-09T21:56:12.2500000Z").
- A parameter may have any format that .NET's `DateTime.Parse` reads.
- A date without an offset is in the time zone of DocuSign's servers.

Our choices:

- The servers' time zone is Pacific time.
- Only ISO 8601 and .NET's American format are read; everything else is rejected.
- The clock has only six decimals. The seventh is derived from the time.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SERVER = ZoneInfo("America/Los_Angeles")
_FRACTION = re.compile(r"(?<=:\d\d)\.(\d{1,7})")
_AMERICAN = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y")


def write_stamp(moment: datetime) -> str:
    """Write a moment in UTC, with seven decimals: "2026-11-20T15:00:00.1234567Z"."""
    at = moment.astimezone(UTC)
    text = at.replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{text}{(at.microsecond * 7 + at.second) % 10}Z"


def write_american(ticks: int) -> str:
    """Write ticks in .NET's American format, to the second, in the servers' time zone: "9/15/2016 12:00:00 AM"."""
    at = (_EPOCH + timedelta(microseconds=ticks // 10)).astimezone(_SERVER)
    return f"{at.month}/{at.day}/{at.year} {at:%I:%M:%S %p}".replace(" 0", " ", 1)


@lru_cache(maxsize=200_000)
def read_ticks(text: str) -> int:
    """Parse a date. Return it as ticks of 100 nanoseconds since 1970, which keep all seven decimals.

    Raises:
        ValueError: the text is not a date, or the date is out of range.
    """
    fraction = match[1].ljust(7, "0") if (match := _FRACTION.search(text)) else "0000000"
    at = _read_seconds(_FRACTION.sub("", text).strip())
    try:
        seconds = (at if at.tzinfo else at.replace(tzinfo=_SERVER)) - _EPOCH
    except OverflowError as error:
        raise ValueError(f"{text!r} is out of range") from error
    return seconds // timedelta(seconds=1) * 10_000_000 + int(fraction)


def _read_seconds(text: str) -> datetime:
    for form in _AMERICAN:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007  # read_ticks sets the zone
        except ValueError:
            continue
    return datetime.fromisoformat(text)
