"""DocuSign's dates: timestamps with seven decimals, and the many formats that a caller may use.

Documented: seven decimals ("2020-05-09T21:56:12.2500000Z"); whatever .NET's `DateTime.Parse` reads is accepted; a date
without an offset is read in the time zone of DocuSign's servers. Our choices: that zone is Pacific time; ISO 8601 and
.NET's American form are read, everything else is rejected; the seventh digit, finer than the clock, is derived from the time.
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
    """Return a moment in UTC: "2026-11-20T15:00:00.1234567Z"."""
    at = moment.astimezone(UTC)
    text = at.replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{text}{(at.microsecond * 7 + at.second) % 10}Z"


def write_american(ticks: int) -> str:
    """Return a moment to the second as .NET writes it in the server's zone: "9/15/2016 12:00:00 AM"."""
    at = (_EPOCH + timedelta(microseconds=ticks // 10)).astimezone(_SERVER)
    return f"{at.month}/{at.day}/{at.year} {at:%I:%M:%S %p}".replace(" 0", " ", 1)


@lru_cache(maxsize=200_000)
def read_ticks(text: str) -> int:
    """Return a date as ticks of 100 nanoseconds since 1970, so that its seventh decimal counts.

    Raises:
        ValueError: it is not a date.
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
