"""Record the outages of vendors per run: the start, the number of failed requests, and the waiting tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from include.errors import VendorUnavailable

_FAILED = sa.text("""
insert into control.outage (vendor, run_id, tasks, error, since, tries, failed_at)
values (:vendor, :run_id, array[:task], :error, :since, :tries, :now)
on conflict (vendor, run_id) where over_at is null do update set
    tasks = case when :task = any(outage.tasks) then outage.tasks else outage.tasks || excluded.tasks end,
    error = excluded.error, since = least(outage.since, excluded.since), tries = outage.tries + excluded.tries,
    failed_at = excluded.failed_at
returning outage_id, vendor, tasks, error, since, tries
""")

# The update locks the row, so that among tasks that recover at the same time, the last one ends the outage.
_RECOVERED = sa.text("""
update control.outage set tasks = array_remove(tasks, :task),
    over_at = case when array_remove(tasks, :task) = '{}' then cast(:now as timestamptz) end
where vendor = :vendor and run_id = :run_id and over_at is null and :task = any(tasks)
returning outage_id, vendor, tasks, error, since, tries
""")
_WAS_ALERTED = sa.text("""
select exists (select from control.alert where kind = 'outage' and run_id = :run_id and subject = :subject and sent_at is not null)
""")


@dataclass(frozen=True, slots=True)
class Outage:
    """An outage: a vendor that a run can't reach.

    Attributes:
        tasks: Tasks that wait for the vendor, such as `pull[2]`; empty once the outage is over.
        error: Class of the newest error.
        since: When the first failed request was sent.
        tries: Number of failed requests.
    """

    outage_id: int
    vendor: str
    tasks: list[str]
    error: str
    since: datetime
    tries: int

    @property
    def subject(self) -> str:
        """The subject of the alerts about this outage."""
        return f"outage {self.outage_id}"


def record_failure(
    engine: sa.Engine, vendor: str, run_id: str, task: str, error: VendorUnavailable, now: datetime
) -> Outage:
    """Record that a task's try did not reach the vendor; return the run's outage, which starts with the first such try."""
    values = {
        "vendor": vendor,
        "run_id": run_id,
        "task": task,
        "error": type(error).__name__,
        "since": error.failing_since or now,
        "tries": error.tries,
        "now": now,
    }
    with engine.begin() as connection:
        return Outage(*connection.execute(_FAILED, values).one())


def record_answer(engine: sa.Engine, vendor: str, run_id: str, task: str, now: datetime) -> Outage | None:
    """Record that a task reached the vendor again. The outage ends when no other task of the run waits.

    Returns:
        The outage, if this call ended it and an alert about it was sent; else None.
    """
    values = {"vendor": vendor, "run_id": run_id, "task": task, "now": now}
    with engine.begin() as connection:
        row = connection.execute(_RECOVERED, values).one_or_none()
        if row is None or row.tasks:
            return None
        outage = Outage(*row)
        about = {"run_id": run_id, "subject": outage.subject}
        return outage if connection.execute(_WAS_ALERTED, about).scalar() else None


def find_next_tries(now: datetime, delays: list[timedelta], patience: timedelta) -> tuple[datetime, datetime]:
    """Return the latest time at which the next try starts, and the latest time at which the last try ends.

    Args:
        now: When a try has just failed.
        delays: Longest delay before each of the remaining tries; at least one.
        patience: How long each try repeats a request.
    """
    return now + delays[0], now + sum(delays, timedelta()) + patience * len(delays)
