"""Dispose of expired rows through the functions of `0019_retention.sql`. The loading role can delete records in no other way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa

BATCH = 20_000
"""Rows per transaction."""

_MEASURE = sa.text("select * from control.measure_expired(:dataset, cast(:period as interval))")
_DISPOSE = sa.text("select * from control.dispose(:run_id, :dataset, cast(:period as interval), :batch)")


@dataclass(frozen=True, slots=True)
class Expired:
    """The rows or files of a dataset that are due for disposal, or were disposed of.

    Attributes:
        count: Number of rows, or of files or pulls.
        oldest: When the retention period of the oldest one began; None if there is none.
        newest: When the retention period of the newest one began; None if there is none.
        bytes: Their total size. For rows, the size of their indexes is not included.
    """

    count: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    bytes: int = 0

    def plus(self, other: Expired) -> Expired:
        """Return the sum of this result and another one."""
        begun = [each for one in (self, other) for each in (one.oldest, one.newest) if each is not None]
        return replace(
            self,
            count=self.count + other.count,
            oldest=min(begun, default=None),
            newest=max(begun, default=None),
            bytes=self.bytes + other.bytes,
        )


def total(each: Iterable[Expired]) -> Expired:
    """Return the sum of several results; a count of 0 if there are none."""
    result = Expired()
    for one in each:
        result = result.plus(one)
    return result


def measure(engine: sa.Engine, dataset: str, period: str) -> Expired:
    """Count the rows of a table that are due for disposal; change nothing.

    Args:
        engine: The database, as the loading role.
        dataset: The table, with its schema.
        period: Its retention period.
    """
    with engine.begin() as connection:
        return Expired(*connection.execute(_MEASURE, {"dataset": dataset, "period": period}).one())


def dispose(engine: sa.Engine, run_id: str, dataset: str, period: str, batch: int = BATCH) -> Expired:
    """Dispose of the expired rows of a table, one batch per transaction; return the numbers of deleted rows.

    If this is killed, the finished batches stay committed, each with its entry in the audit trail. Run it again to continue.

    Args:
        engine: The database, as the loading role.
        run_id: The run, which is the actor in the audit trail.
        dataset: The table, with its schema.
        period: Its retention period.
        batch: Maximum number of rows per transaction. Positions are disposed of by month instead.
    """
    result, values = Expired(), {"run_id": run_id, "dataset": dataset, "period": period, "batch": batch}
    while True:
        with engine.begin() as connection:
            done = Expired(*connection.execute(_DISPOSE, values).one())
        if done.oldest is None:
            return result
        result = result.plus(done)
