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

# The update locks the rows, so that among tasks that recover at the same time, the last one ends the outage of their run. Other runs whose
# last failed try is old have given up: nothing else would end their outages.
_RECOVERED = sa.text("""
with answered as (
    select outage_id, case when run_id = :run_id then array_remove(tasks, :task) else '{}' end as waiting from control.outage
    where vendor = :vendor and over_at is null
      and (run_id = :run_id and :task = any(tasks) or run_id <> :run_id and failed_at < cast(:now as timestamptz) - cast(:longest_pause as interval))
    for update
)
update control.outage o set tasks = waiting, over_at = case when waiting = '{}' then cast(:now as timestamptz) end
from answered a where a.outage_id = o.outage_id
returning o.outage_id, o.vendor, o.tasks, o.error, o.since, o.tries,
          exists (select from control.alert l where l.kind = 'outage' and l.run_id = o.run_id and l.subject = 'outage ' || o.outage_id
                    and l.sent_at is not null) as was_alerted
""")
LONGEST_PAUSE = timedelta(hours=1)
"""A run that still waits for a vendor tries again within this time."""


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


def record_answer(engine: sa.Engine, vendor: str, run_id: str, task: str, now: datetime) -> list[Outage]:
    """Record that a task reached the vendor. The outage of its run ends when no other task of the run waits.

    It also ends the vendor's outages of other runs that have given up, because their last try failed more than `LONGEST_PAUSE` ago.

    Returns:
        The outages that this call ended and about which an alert was sent.
    """
    values = {"vendor": vendor, "run_id": run_id, "task": task, "now": now, "longest_pause": LONGEST_PAUSE}
    with engine.begin() as connection:
        rows = connection.execute(_RECOVERED, values).all()
    return [Outage(*row[:-1]) for row in rows if row.was_alerted and not row.tasks]


def find_next_tries(now: datetime, delays: list[timedelta], patience: timedelta) -> tuple[datetime, datetime]:
    """Return the latest time at which the next try starts, and the latest time at which the last try ends.

    Args:
        now: When a try has just failed.
        delays: Longest delay before each of the remaining tries; at least one.
        patience: How long each try repeats a request.
    """
    return now + delays[0], now + sum(delays, timedelta()) + patience * len(delays)
