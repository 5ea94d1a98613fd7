"""One rate budget per vendor, shared by every process of the firm.

A bucket is one row that holds the time up to which calls are spoken for (the generic cell rate algorithm: a leaky bucket
kept as a single time). A caller moves that time forward by one call and sleeps until its own turn, so two processes can
never take the same turn. Batch runs also pass a narrower bucket, which leaves the reserved share to on-demand runs.
"""

from __future__ import annotations

import time

import sqlalchemy as sa

from include.contract import Budget
from include.errors import RateLimited

_TAKE = sa.text("""
insert into control.rate_budget as b (vendor, bucket, spoken_until)
values (:vendor, :bucket, clock_timestamp() + make_interval(secs => :step))
on conflict (vendor, bucket) do update
set spoken_until = greatest(b.spoken_until, clock_timestamp()) + make_interval(secs => :step)
returning extract(epoch from spoken_until - clock_timestamp())::float8 - :step * :burst
""")

# What a crash of the server forgets is a few turns of the last moment; nothing is worth waiting for the disk.
_NOT_DURABLE = sa.text("set local synchronous_commit = off")

_PAUSE = sa.text("""
insert into control.rate_budget as b (vendor, bucket, spoken_until)
values (:vendor, 'all', clock_timestamp() + make_interval(secs => :wait))
on conflict (vendor, bucket) do update
set spoken_until = greatest(b.spoken_until, clock_timestamp() + make_interval(secs => :wait))
""")


class RateBudget:
    """The calls that a vendor allows.

    Args:
        engine: The control database; each turn is its own short transaction.
        vendor: Whose budget.
        budget: What is allowed.
        on_demand: Whether this run may use the reserved share.
        speed: How many times faster than the wall clock the vendor's minutes pass (a sandbox's clock).
        patience_s: The longest wait for a turn, in seconds: a vendor that asks for hours gets them from Airflow's retry,
            not from a task that sleeps.
    """

    def __init__(
        self,
        engine: sa.Engine,
        vendor: str,
        budget: Budget,
        *,
        on_demand: bool = False,
        speed: float = 1.0,
        patience_s: float = 300.0,
    ) -> None:
        self._patience_s = patience_s
        self._engine = engine
        self._vendor = vendor
        self._burst = budget.burst
        step = 60.0 / budget.calls_per_minute / speed
        self._steps = {"all": step}
        if not on_demand:
            self._steps["batch"] = step / (1 - budget.reserved_ratio)

    def take(self) -> None:
        """Waits until one more call is within the budget.

        Raises:
            RateLimited: That is further away than patience lasts.
        """
        with self._engine.begin() as connection:
            connection.execute(_NOT_DURABLE)
            wait = max(
                connection.scalar(_TAKE, {"vendor": self._vendor, "bucket": bucket, "step": step, "burst": self._burst})
                or 0.0
                for bucket, step in self._steps.items()
            )
            if wait > self._patience_s:
                raise RateLimited("The vendor's calls are spoken for", wait, vendor=self._vendor)
        if wait > 0:
            time.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Keeps every process from calling for some seconds, a day at most: the vendor asked for it (`Retry-After`)."""
        wait = min(seconds, 86_400.0) + self._steps["all"] * self._burst
        with self._engine.begin() as connection:
            connection.execute(_PAUSE, {"vendor": self._vendor, "wait": wait})
