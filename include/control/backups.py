"""Find out whether a backup is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

# Without any backup, the age counts from the registration of the first key, which is part of the installation.
_LAST = sa.text("""
select (select max(known_at) from control.backup) as last, (select min(added_at) from control.key) as installed_at
""")


@dataclass(frozen=True, slots=True)
class MissingBackup:
    """The database has no backup that is recent enough.

    Attributes:
        last: Time of the last backup; None if there never was one.
        since: `last`, or the time of installation.
        hours: Age of `since` in hours.
        number: Number of days without a backup, from 1. One alert is sent for each number.
    """

    last: datetime | None
    since: datetime
    hours: int
    number: int

    def __str__(self) -> str:
        """Return one line: `the last backup is from 2026-11-25 02:00 UTC, 31 hours ago`."""
        if self.last is None:
            return f"no backup has succeeded since the installation, {self.hours} hours ago"
        return f"the last backup is from {self.last:%Y-%m-%d %H:%M} UTC, {self.hours} hours ago"


def find_missing(engine: sa.Engine, now: datetime, limit: timedelta) -> MissingBackup | None:
    """Return the missing backup; None if the last one is not older than the limit, or the limit is zero.

    Args:
        engine: The control database.
        now: The time, with time zone.
        limit: Maximum age of the last backup. Zero: the firm records no backups in `control.backup`.
    """
    if not limit:
        return None
    with engine.connect() as connection:
        row = connection.execute(_LAST).one()
    since = row.last or row.installed_at or now
    if (age := now - since) <= limit:
        return None
    return MissingBackup(row.last, since, age // timedelta(hours=1), 1 + (age - limit) // timedelta(days=1))
