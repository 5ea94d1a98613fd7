"""The site (a firm's environment) and the facts of one run of a vendor's DAG."""

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
    """A firm's environment: its database, staging and secrets.

    Attributes:
        engine: The database, as the loading role.
        staging: Where partitions are stored.
        redactor: Replaces sensitive values, using the firm's key.
        clock: Returns the time, aware; a sandbox may use another day.
        speed: How many times faster than the wall clock a sandbox's time passes.
        machine_clock: Returns this machine's time, aware; compared with the database's and the vendor's.
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
        run_id: Airflow's run id.
        business_date: The day of the data.
        previous_date: The session before it.
        full_refresh: Whether to ignore edit windows.
        on_demand: Whether the reserved share of the rate budget may be used.
        is_replay: Whether only dead letters are pulled again.
        keys: Clients that an operator selected; empty for all.
        accept_unusual: Whether an operator accepts a day that deviates from earlier days, or does not balance.
        user: The user who started the run; empty if unknown.
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
        """The operator who accepts an unusual day; empty if none."""
        return (self.user or "unknown") if self.accept_unusual else ""

    @classmethod
    def of_now(cls, run_id: str, now: datetime) -> Run:
        """Return a run for the latest closed session."""
        day = business_dates.business_date(now)
        return cls(run_id, day, business_dates.previous(day))
