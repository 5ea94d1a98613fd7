"""Compare three clocks before anything is staged: this machine's, the database's and the vendor's."""

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
"""Largest difference from the vendor's clock. If database and worker share a machine, only the vendor's clock shows that both are wrong."""


_ADVICE = "synchronize it (NTP), then clear the task; nothing was staged"


class Clocks:
    """Compares the clock of this machine with the database's and the vendor's.

    Our clock timestamps staged rows and bounds the windows of edits; the database's clock timestamps loaded rows. If only the vendor's
    clock differs, by minutes, the difference is logged.

    Args:
        engine: The control database.
        ours: The clock of this machine, aware.
        is_vendor_trusted: Whether a difference of hours from the vendor's clock is treated as an error of our clocks.
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

    def compare(self, vendor: str, date_header: str, age: str = "") -> None:
        """Compare the clocks, using a vendor's response. Only the first call does anything.

        Args:
            vendor: Named in the error.
            date_header: The response's header `Date`; empty if it has none.
            age: The response's header `Age` in seconds, set by a cache.

        Raises:
            ClockSkew: This machine's clock and the database's differ by more than five minutes (the message names the wrong one, judged by
                the vendor's clock); or the vendor's clock differs from both by more than an hour.
        """
        if self._is_compared:
            return
        before = self._ours()
        with self._engine.connect() as connection:
            database: datetime = connection.scalar(sa.text("select clock_timestamp()")) or before
        ours = before + (self._ours() - before) / 2
        theirs = _read_date(date_header, age)
        if abs(ours - database) > MOST:
            raise ClockSkew(_explain(ours, database, theirs), vendor=vendor)
        if theirs is not None and self._is_vendor_trusted and abs(ours - theirs) > MOST_OF_VENDOR:
            raise ClockSkew(
                f"The clocks of this machine and of the database are {_difference(ours, theirs)}, compared with the vendor's:"
                " synchronize them (NTP), then clear the task; nothing was staged. If the vendor's clock is wrong, set `ignore_clock`"
                " to true in the extra of its connection",
                vendor=vendor,
            )
        self._is_compared = True
        if theirs is not None and abs(ours - theirs) > MOST:
            log.warning("%s: the vendor's clock is %s", vendor, _difference(theirs, ours))


def _explain(ours: datetime, database: datetime, theirs: datetime | None) -> str:
    """Return a message that names the wrong clock of the two, using the vendor's clock as the reference."""
    if theirs is not None and abs(database - theirs) <= MOST:
        return f"The clock of this machine is {_difference(ours, database)}, by the database and the vendor: {_ADVICE}"
    if theirs is not None and abs(ours - theirs) <= MOST:
        return f"The clock of the database is {_difference(database, ours)}, by this machine and the vendor: {_ADVICE}"
    return (
        f"The clock of this machine is {_difference(ours, database)} by the database, and the vendor's agrees with neither: "
        f"find out which one is wrong, {_ADVICE}"
    )


def _difference(clock: datetime, reference: datetime) -> str:
    by = clock - reference
    return f"{timedelta(seconds=round(abs(by).total_seconds()))} {'ahead' if by > timedelta() else 'behind'}"


def _read_date(header: str, age: str) -> datetime | None:
    try:
        date = email.utils.parsedate_to_datetime(header)
        return date.replace(tzinfo=date.tzinfo or UTC) + timedelta(seconds=int(age or 0))
    except (ValueError, OverflowError):
        return None
