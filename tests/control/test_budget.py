"""One budget of calls, shared by all processes of the firm."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.connection import Connection
from include.contract import Budget
from include.control.budget import RateBudget
from include.control.calls import CallLog
from include.errors import RateLimited
from include.extract.session import VendorSession
from include.vendors import named
from include.warehouse import schema
from tests.conftest import connect
from tests.forked import submit
from tests.running_sandbox import run_sandbox

RATE = 25.0
"""Calls per second."""
BUDGET = Budget(calls_per_minute=RATE * 60, burst=5, reserved_ratio=0.0)


def take_many(url: str, turns: int) -> list[float]:
    """Take turns in three threads of a process of its own; return the time of each."""
    engine = schema.engine(url)
    budget = RateBudget(engine, "a-vendor", BUDGET)

    def take(_: int) -> float:
        budget.take()
        return time.time()

    with ThreadPoolExecutor(3) as threads:
        times = list(threads.map(take, range(turns)))
    engine.dispose()
    return times


def test_processes_and_threads_together_never_exceed_the_rate(database: Any) -> None:
    running = [submit(take_many, database.url(), 25) for _ in range(2)]
    times = sorted(when for each in running for when in each.result())
    assert len(times) == 50
    # However long earlier calls were delayed, each of the six callers is late with at most one turn.
    for first in range(len(times)):
        for last in range(first, len(times)):
            allowed = BUDGET.burst + (times[last] - times[first]) * RATE
            assert last - first + 1 <= allowed + 6
    assert times[-1] - times[0] >= (len(times) - BUDGET.burst - 1) / RATE * 0.95


def test_burst_is_given_at_once_and_the_next_turn_is_not(engine: sa.Engine) -> None:
    budget = RateBudget(engine, "a-vendor", replace(BUDGET, calls_per_minute=120))
    started = time.monotonic()
    for _ in range(5):
        budget.take()
    assert time.monotonic() - started < 0.4
    budget.take()
    assert time.monotonic() - started >= 0.45


def test_idle_time_saves_up_one_burst_at_most(engine: sa.Engine, database: Any) -> None:
    budget = RateBudget(engine, "a-vendor", replace(BUDGET, calls_per_minute=120))
    budget.take()
    database.do("update control.rate_budget set spoken_until = spoken_until - interval '1 hour'")
    started = time.monotonic()
    for _ in range(6):
        budget.take()
    assert time.monotonic() - started >= 0.45


def test_each_vendor_has_a_budget_of_its_own(engine: sa.Engine) -> None:
    budget = replace(BUDGET, calls_per_minute=1, burst=1)
    started = time.monotonic()
    RateBudget(engine, "a-vendor", budget).take()
    RateBudget(engine, "another", budget).take()
    assert time.monotonic() - started < 1


def test_batch_leaves_the_reserved_share_to_runs_on_demand(engine: sa.Engine) -> None:
    budget = replace(BUDGET, burst=2, reserved_ratio=0.6)
    batch, on_demand = RateBudget(engine, "a-vendor", budget), RateBudget(engine, "a-vendor", budget, on_demand=True)
    until = time.monotonic() + 1.0
    taken, waited = [], []

    def run_batch() -> None:
        while time.monotonic() < until:
            batch.take()
            taken.append(time.monotonic())

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(run_batch) for _ in range(2)]
        time.sleep(0.3)
        for _ in range(5):
            started = time.monotonic()
            on_demand.take()
            waited.append(time.monotonic() - started)
            time.sleep(0.1)
        for each in running:
            each.result()
    assert len(taken) <= 0.4 * RATE * 1.3 + budget.burst + 2
    assert sorted(waited)[2] < 0.1


def test_pause_applies_to_all_callers_and_ends(engine: sa.Engine) -> None:
    one, another = RateBudget(engine, "a-vendor", BUDGET), RateBudget(engine, "a-vendor", BUDGET, on_demand=True)
    one.pause(0.5)
    started = time.monotonic()
    another.take()
    assert 0.45 <= time.monotonic() - started < 2


def test_shorter_pause_does_not_end_a_longer_one(engine: sa.Engine) -> None:
    budget = RateBudget(engine, "a-vendor", BUDGET)
    budget.pause(0.5)
    budget.pause(0)
    started = time.monotonic()
    budget.take()
    assert time.monotonic() - started >= 0.4


def test_long_pause_raises_instead_of_sleeping(engine: sa.Engine, database: Any) -> None:
    budget = RateBudget(engine, "a-vendor", BUDGET, patience_s=5)
    budget.pause(10.0**12)
    query = "select spoken_until from control.rate_budget where bucket = 'all'"
    before = database.value(query)
    with pytest.raises(RateLimited, match=r"\[retry_after=\d+ vendor=a-vendor\]") as error:
        budget.take()
    assert 86_000 < (error.value.retry_after or 0) < 87_000
    assert database.value(query) == before


def test_sandbox_clock_that_runs_faster_makes_turns_come_faster(engine: sa.Engine) -> None:
    budget = RateBudget(engine, "a-vendor", replace(BUDGET, calls_per_minute=60, burst=1), speed=60)
    started = time.monotonic()
    for _ in range(10):
        budget.take()
    assert time.monotonic() - started < 1


# --- the limit is the most calls in any minute, or hour ---


LATE = 2
"""Number of calls whose time is noted late on a busy machine, so that they count within the next span."""


def count_most_within(times: Sequence[float], seconds: float) -> int:
    """Return the largest number of calls in any span of that length."""
    ordered = sorted(times)
    return max(bisect_right(ordered, when) - bisect_right(ordered, when - seconds) for when in ordered)


def call_until(end: float, take: Callable[[], None]) -> list[float]:
    """Take turns until then; return the time of each."""
    times: list[float] = []
    while time.monotonic() < end:
        take()
        times.append(time.monotonic())
    return times


@pytest.mark.parametrize(
    ("calls", "burst"),
    [(60, 10), (4, 8), *(pytest.param(*each, marks=pytest.mark.long) for each in ((60, 60), (30, 1)))],
)
def test_burst_and_what_follows_it_are_together_within_the_limit(engine: sa.Engine, calls: int, burst: int) -> None:
    budget = RateBudget(engine, "a-vendor", Budget(calls, burst, reserved_ratio=0), speed=30)  # a minute is 2 s
    times = call_until(time.monotonic() + 4.2, budget.take)
    assert calls * 0.7 <= count_most_within(times, 2.0) <= calls + LATE


@pytest.mark.long
def test_batch_that_waits_and_runs_on_demand_together_stay_within_the_limit(engine: sa.Engine) -> None:
    limit = Budget(60, 10, reserved_ratio=0.2)
    batch = RateBudget(engine, "a-vendor", limit, speed=20)  # a minute is 3 s
    on_demand = RateBudget(engine, "a-vendor", limit, speed=20, on_demand=True)
    now = time.monotonic()

    def request_on_demand(_: int) -> list[float]:
        time.sleep(5.0)
        return call_until(now + 8.5, on_demand.take)

    with ThreadPoolExecutor(20) as threads:
        running = [threads.submit(call_until, now + 5.0, batch.take) for _ in range(16)]
        running += [threads.submit(request_on_demand, n) for n in range(4)]
        times = [when for each in running for when in each.result()]
    assert count_most_within(times, 3.0) <= 60 + LATE


def test_narrower_bucket_holds_its_own_calls_and_no_others(engine: sa.Engine) -> None:
    limit = Budget(60_000, 100, reserved_ratio=0, calls_per_hour={"simulations": 20})
    budget = RateBudget(engine, "a-vendor", limit, speed=1800)  # an hour is 2 s
    end = time.monotonic() + 4.2
    with ThreadPoolExecutor(2) as threads:
        narrow = threads.submit(call_until, end, lambda: budget.take("simulations"))
        others = call_until(time.monotonic() + 1.0, budget.take)
    assert 14 <= count_most_within(narrow.result(), 2.0) <= 20 + LATE
    assert (
        len(others) > 30
    )  # within a second, in which the narrower bucket allows 10; a busy machine makes fewer than 100


def test_call_of_a_narrower_bucket_is_a_call_like_any_other(engine: sa.Engine) -> None:
    limit = Budget(20, 2, reserved_ratio=0, calls_per_hour={"simulations": 100_000})
    budget = RateBudget(engine, "a-vendor", limit, speed=60)
    end = time.monotonic() + 2.2
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(call_until, end, take) for take in (budget.take, lambda: budget.take("simulations"))]
        times = [when for each in running for when in each.result()]
    assert count_most_within(times, 1.0) <= 20 + LATE


def test_narrower_bucket_also_leaves_its_reserved_share(engine: sa.Engine) -> None:
    limit = Budget(60_000, 2, reserved_ratio=0.5, calls_per_hour={"simulations": 40})
    batch = RateBudget(engine, "a-vendor", limit, speed=1800)
    on_demand = RateBudget(engine, "a-vendor", limit, speed=1800, on_demand=True)
    end, waited = time.monotonic() + 3.0, []
    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(call_until, end, lambda: batch.take("simulations")) for _ in range(4)]
        time.sleep(1.0)
        for _ in range(5):
            started = time.monotonic()
            on_demand.take("simulations")
            waited.append(time.monotonic() - started)
            time.sleep(0.2)
        times = [when for each in running for when in each.result()]
    assert count_most_within(times, 2.0) <= 0.5 * 40 + LATE
    assert sorted(waited)[2] < 0.1


def pull_many(url: str, connection: Connection, calls: int, speed: float) -> int:
    """Request a vendor's clients repeatedly, in four threads of a process of its own."""
    engine, vendor = schema.engine(url), named("emoney")
    budget = RateBudget(engine, vendor.name, vendor.budget, speed=speed)
    calls_of = CallLog(engine, vendor.name, "clients", "a run")
    one = {"page": "1", "pageSize": "1"}
    with VendorSession(vendor, connection, budget, calls_of) as session, ThreadPoolExecutor(4) as threads:
        responses = list(threads.map(lambda _: session.get("clients", one, len), range(calls)))
    engine.dispose()
    return len(responses)


def test_four_workers_are_never_over_by_the_vendor_s_own_count(database: Any, tmp_path: Path) -> None:
    pace = 20.0  # the vendor's minute and ours are 3 s
    with run_sandbox(tmp_path, households=5, pace=pace) as sandbox:
        connection = connect(sandbox, named("emoney"))
        running = [submit(pull_many, database.url(), connection, 25, pace) for _ in range(4)]
        assert sum(each.result() for each in running) == 100
        counted = sandbox.http.get("/_sandbox/calls").json()
    assert counted["violations"] == {}
    clients = next(route for name, route in counted["routes"].items() if name.endswith("/public/v1/clients"))
    assert clients["status"] == {"200": 100}
