"""Where a firm runs, and what one run of a vendor's DAG is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from include import business_dates
from include.sensitive import Redactor
from include.staging.partitions import Staging


@dataclass(frozen=True, slots=True)
class Site:
    """Where a firm runs: its database, its staging, its secrets.

    Attributes:
        engine: The database, as the loading role.
        staging: Where partitions are stored.
        redactor: Hides sensitive values under the firm's key.
        clock: Returns the time, aware; a sandbox may live on another day.
        speed: How many times faster than the wall clock a sandbox's minutes pass.
        machine_clock: The clock of this machine, aware: compared with the database's and the vendor's.
    """

    engine: sa.Engine
    staging: Staging
    redactor: Redactor
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    speed: float = 1.0
    machine_clock: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a vendor's DAG.

    Attributes:
        run_id: Airflow's.
        business_date: The day the data is about.
        previous_date: The session before it.
        full_refresh: Whether edit windows are ignored.
        on_demand: Whether the reserved share of the rate budget may be used.
        is_replay: Whether only dead letters are pulled again.
        keys: Clients that an operator chose; empty for all.
        accept_unusual: Whether an operator accepts a day that compares badly with earlier ones, or does not add up.
        user: Who started it; empty where that is not known.
    """

    run_id: str
    business_date: date
    previous_date: date
    full_refresh: bool = False
    on_demand: bool = False
    is_replay: bool = False
    keys: tuple[str, ...] = ()
    accept_unusual: bool = False
    user: str = ""

    @property
    def accepted_by(self) -> str:
        """The operator who accepts the day; empty for none."""
        return (self.user or "unknown") if self.accept_unusual else ""

    @classmethod
    def of_now(cls, run_id: str, now: datetime) -> Run:
        """Return a run about the present: its day is the one that was closed last."""
        day = business_dates.business_date(now)
        return cls(run_id, day, business_dates.previous(day))
