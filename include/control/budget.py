"""One rate budget per vendor, of one or more buckets, shared by every process of the firm.

A bucket is one row that stores the time up to which calls are reserved (the generic cell rate algorithm: a leaky bucket
stored as a single time). A process moves that time forward by one call and sleeps until its own turn, so two processes can
never take the same turn. Batch runs also pass a narrower bucket, which leaves the reserved share to on-demand runs.

A vendor's limit is the maximum number of calls in any minute (or hour). A bucket that allows a burst spreads the rest of the
limit evenly, so that the burst and the calls after it stay within the limit together.
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

# Don't wait for the disk at commit: a crash of the server loses only a few turns.
_NOT_DURABLE = sa.text("set local synchronous_commit = off")

_PAUSE = sa.text("""
insert into control.rate_budget as b (vendor, bucket, spoken_until)
values (:vendor, 'all', clock_timestamp() + make_interval(secs => :wait))
on conflict (vendor, bucket) do update
set spoken_until = greatest(b.spoken_until, clock_timestamp() + make_interval(secs => :wait))
""")


class _Bucket(NamedTuple):
    """A row of `control.rate_budget`: its name, the seconds per call (a turn), and how many turns a burst may take at once."""

    name: str
    step_s: float
    burst: int


def _buckets(name: str, calls: float, seconds: float, burst: int, reserved_ratio: float) -> tuple[_Bucket, ...]:
    """Return the bucket of all runs and, if a share is reserved for on-demand runs, also the narrower bucket of batch runs.

    Args:
        name: Name of an hourly bucket of the declaration; empty for the vendor's whole budget.
        calls: Maximum calls in `seconds`.
        seconds: Length of the period.
        burst: Maximum calls at once. More than half of `calls` is reduced to half.
        reserved_ratio: Share (0-1) of the rate that batch runs leave to on-demand runs; 0 for none.
    """
    burst = max(1, min(burst, int(calls / 2)))
    step_s = seconds / max(calls - burst, calls / 2)
    whole = _Bucket(name or "all", step_s, burst)
    if not reserved_ratio:
        return (whole,)
    return (whole, _Bucket(f"{name}:batch" if name else "batch", step_s / (1 - reserved_ratio), burst))


class RateBudget:
    """The rate budget of one vendor, for the calls of one run.

    Args:
        engine: The control database; each turn is its own short transaction.
        vendor: Name of the vendor.
        budget: The declared limits.
        on_demand: Whether this run may use the reserved share.
        speed: How many times faster than the wall clock the vendor's clock runs; above 1 only for a sandbox.
        patience_s: Maximum seconds that a task sleeps for a turn. If the wait is longer, the task fails and Airflow retries it.
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
        """Wait until the vendor's budget allows one more call.

        Args:
            bucket: Hourly bucket of the declaration that the call also counts against; empty for none.

        Raises:
            RateLimited: The wait would exceed `patience_s`.
        """
        passed = self._buckets[""] + (self._buckets[bucket] if bucket else ())
        # The narrowest bucket first, so that a turn of the whole budget is taken only when the narrower buckets allow the call.
        for each in reversed(passed):
            self._pass(each)

    def _pass(self, bucket: _Bucket) -> None:
        turn = {"vendor": self._vendor, "bucket": bucket.name, "step": bucket.step_s, "burst": bucket.burst}
        with self._engine.begin() as connection:
            connection.execute(_NOT_DURABLE)
            wait = connection.scalar(_TAKE, turn) or 0.0
            if wait > self._patience_s:
                raise RateLimited("The vendor's rate budget is used up for now", wait, vendor=self._vendor)
        if wait > 0:
            time.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Block the calls of all processes to the vendor for `seconds` (from `Retry-After`), limited to one day."""
        [whole, *_] = self._buckets[""]
        wait = min(seconds, 86_400.0) + whole.step_s * whole.burst
        with self._engine.begin() as connection:
            connection.execute(_PAUSE, {"vendor": self._vendor, "wait": wait})
