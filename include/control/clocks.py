"""Compare the clocks of this machine, the database and the vendor before anything is staged."""

from __future__ import annotations

import email.utils
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from include.errors import ClockSkew

log = logging.getLogger(__name__)

MOST = timedelta(minutes=5)
MOST_OF_VENDOR = timedelta(hours=1)
"""Maximum difference between our clocks and the vendor's.

If database and worker share a machine, their clocks always agree, and only the vendor's clock can show that they are wrong.
"""


_ADVICE = "synchronize it (NTP), then clear the task; nothing was staged"


class Clocks:
    """Compares the clock of this machine with those of the database and the vendor.

    The machine's clock timestamps staged rows and sets the bounds of edit windows. The database's clock timestamps loaded rows.

    Args:
        engine: The control database.
        ours: Returns this machine's time, with time zone.
        is_vendor_trusted: Whether a difference of more than an hour from the vendor's clock is an error. If false, it is only logged.
    """

    def __init__(
        self,
        engine: sa.Engine,
        ours: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        is_vendor_trusted: bool = True,
    ) -> None:
        self._engine, self._ours, self._is_vendor_trusted = engine, ours, is_vendor_trusted
        self._is_compared = False

    def read(self) -> tuple[datetime, datetime]:
        """Return the time of this machine and of the database at the same moment."""
        before = self._ours()
        with self._engine.connect() as connection:
            database: datetime = connection.scalar(sa.text("select clock_timestamp()")) or before
        return before + (self._ours() - before) / 2, database

    def compare(self, vendor: str, date_header: str, age: str = "") -> None:
        """Compare the three clocks. Once they agree, later calls do nothing.

        A difference of more than five minutes from the vendor's clock alone is logged.

        Args:
            vendor: Name of the vendor, for the error.
            date_header: Header `Date` of a response of the vendor. If it is empty or invalid, the vendor's clock is not compared.
            age: Header `Age` of the response in seconds, which a cache sets; empty if there is none.

        Raises:
            ClockSkew: The clocks of this machine and the database differ by more than five minutes; the message names the wrong one if
                the vendor's clock agrees with the other. Or the vendor's clock is trusted and differs from both by more than an hour.
        """
        if self._is_compared:
            return
        ours, database = self.read()
        theirs = read_date(date_header, age)
        if abs(ours - database) > MOST:
            raise ClockSkew(_explain(ours, database, theirs), vendor=vendor)
        if theirs is not None and self._is_vendor_trusted and abs(ours - theirs) > MOST_OF_VENDOR:
            raise ClockSkew(
                f"The clocks of this machine and of the database are {describe_difference(ours, theirs)}, compared with the vendor's:"
                " synchronize them (NTP), then clear the task; nothing was staged. If the vendor's clock is wrong, set `ignore_clock`"
                " to true in the extra of its connection",
                vendor=vendor,
            )
        self._is_compared = True
        if theirs is not None and abs(ours - theirs) > MOST:
            log.warning("%s: the vendor's clock is %s", vendor, describe_difference(theirs, ours))


def _explain(ours: datetime, database: datetime, theirs: datetime | None) -> str:
    """Return the error message for clocks of this machine and the database that differ: the vendor's clock shows which one is wrong."""
    if theirs is not None and abs(database - theirs) <= MOST:
        return f"The clock of this machine is {describe_difference(ours, database)}, by the database and the vendor: {_ADVICE}"
    if theirs is not None and abs(ours - theirs) <= MOST:
        return f"The clock of the database is {describe_difference(database, ours)}, by this machine and the vendor: {_ADVICE}"
    return (
        f"The clock of this machine is {describe_difference(ours, database)} by the database, and the vendor's agrees with neither: "
        f"find out which one is wrong, {_ADVICE}"
    )


def describe_difference(clock: datetime, reference: datetime) -> str:
    """Return how far a clock is from a reference, such as `0:10:00 ahead`."""
    by = clock - reference
    return f"{timedelta(seconds=round(abs(by).total_seconds()))} {'ahead' if by > timedelta() else 'behind'}"


def read_date(header: str, age: str = "") -> datetime | None:
    """Return the time that the headers `Date` and `Age` of a response state; None if they are empty or invalid."""
    try:
        date = email.utils.parsedate_to_datetime(header)
        return date.replace(tzinfo=date.tzinfo or UTC) + timedelta(seconds=int(age or 0))
    except (ValueError, OverflowError):
        return None
