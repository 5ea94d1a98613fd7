"""One rate budget per vendor, of one or more buckets, shared by every process of the firm.

A bucket is one row that holds the time up to which calls are spoken for (the generic cell rate algorithm: a leaky bucket
kept as a single time). A caller moves that time forward by one call and sleeps until its own turn, so two processes can
never take the same turn. Batch runs also pass a narrower bucket, which leaves the reserved share to on-demand runs.

A vendor's limit is the most calls in any minute (or hour). A bucket that gives a burst at once gives the rest of the limit
evenly, so that burst and what follows it stay within the limit together.
"""

from __future__ import annotations

import time
from typing import NamedTuple

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


class _Bucket(NamedTuple):
    """A row of `control.rate_budget`: how long a turn takes, in seconds, and how many may be had at once."""

    name: str
    step_s: float
    burst: int


def _buckets(name: str, calls: float, seconds: float, burst: int, reserved_ratio: float) -> tuple[_Bucket, ...]:
    """The bucket of all runs, and that of batch runs if they leave a share to others."""
    burst = max(1, min(burst, int(calls / 2)))
    step_s = seconds / max(calls - burst, calls / 2)
    whole = _Bucket(name or "all", step_s, burst)
    if not reserved_ratio:
        return (whole,)
    return (whole, _Bucket(f"{name}:batch" if name else "batch", step_s / (1 - reserved_ratio), burst))


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
        reserved = 0.0 if on_demand else budget.reserved_ratio
        self._buckets = {"": _buckets("", budget.calls_per_minute, 60.0 / speed, budget.burst, reserved)}
        for name, calls in budget.calls_per_hour.items():
            self._buckets[name] = _buckets(name, calls, 3600.0 / speed, budget.burst, reserved)

    def take(self, bucket: str = "") -> None:
        """Waits until one more call is within the budget, and within a narrower bucket of it, if one is named.

        Raises:
            RateLimited: That is further away than patience lasts.
        """
        passed = self._buckets[""] + (self._buckets[bucket] if bucket else ())
        # The narrowest first: a turn of the whole is taken when its call can be made, and not while it still waits.
        for each in reversed(passed):
            self._pass(each)

    def _pass(self, bucket: _Bucket) -> None:
        turn = {"vendor": self._vendor, "bucket": bucket.name, "step": bucket.step_s, "burst": bucket.burst}
        with self._engine.begin() as connection:
            connection.execute(_NOT_DURABLE)
            wait = connection.scalar(_TAKE, turn) or 0.0
            if wait > self._patience_s:
                raise RateLimited("The vendor's calls are spoken for", wait, vendor=self._vendor)
        if wait > 0:
            time.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Keeps every process from calling for some seconds, a day at most: the vendor asked for it (`Retry-After`)."""
        [whole, *_] = self._buckets[""]
        wait = min(seconds, 86_400.0) + whole.step_s * whole.burst
        with self._engine.begin() as connection:
            connection.execute(_PAUSE, {"vendor": self._vendor, "wait": wait})
