"""One budget of calls for every process of the firm."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from include.contract import Budget
from include.control.budget import RateBudget
from include.errors import RateLimited
from include.warehouse import schema

RATE = 25.0
"""Calls a second."""
BUDGET = Budget(calls_per_minute=RATE * 60, burst=5, reserved_ratio=0.0)


@pytest.fixture
def engine(database: Any) -> Iterator[sa.Engine]:
    opened = schema.engine(database.url())
    yield opened
    opened.dispose()


def take_many(url: str, turns: int) -> list[float]:
    """Takes turns in three threads of a process of its own; returns when each was given."""
    engine = schema.engine(url)
    budget = RateBudget(engine, "somebody", BUDGET)

    def take(_: int) -> float:
        budget.take()
        return time.time()

    with ThreadPoolExecutor(3) as threads:
        given = list(threads.map(take, range(turns)))
    engine.dispose()
    return given


def test_processes_and_threads_together_never_exceed_the_rate(database: Any) -> None:
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        given = sorted(when for each in pool.map(take_many, [database.url()] * 2, [25] * 2) for when in each)
    assert len(given) == 50
    # However long the calls before were delayed, one of the six callers at most is late with a turn each.
    for first in range(len(given)):
        for last in range(first, len(given)):
            allowed = BUDGET.burst + (given[last] - given[first]) * RATE
            assert last - first + 1 <= allowed + 6
    assert given[-1] - given[0] >= (len(given) - BUDGET.burst - 1) / RATE * 0.95


def test_burst_is_given_at_once_and_the_next_turn_is_not(engine: sa.Engine) -> None:
    budget = RateBudget(engine, "somebody", replace(BUDGET, calls_per_minute=120))
    started = time.monotonic()
    for _ in range(5):
        budget.take()
    assert time.monotonic() - started < 0.4
    budget.take()
    assert time.monotonic() - started >= 0.45


def test_each_vendor_has_a_budget_of_its_own(engine: sa.Engine) -> None:
    budget = replace(BUDGET, calls_per_minute=1, burst=1)
    started = time.monotonic()
    RateBudget(engine, "somebody", budget).take()
    RateBudget(engine, "another", budget).take()
    assert time.monotonic() - started < 1


def test_batch_leaves_the_reserved_share_to_runs_on_demand(engine: sa.Engine) -> None:
    budget = replace(BUDGET, burst=2, reserved_ratio=0.6)
    batch, on_demand = RateBudget(engine, "somebody", budget), RateBudget(engine, "somebody", budget, on_demand=True)
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


def test_pause_holds_everybody_and_ends(engine: sa.Engine) -> None:
    one, another = RateBudget(engine, "somebody", BUDGET), RateBudget(engine, "somebody", BUDGET, on_demand=True)
    one.pause(0.5)
    started = time.monotonic()
    another.take()
    assert 0.45 <= time.monotonic() - started < 2


def test_shorter_pause_does_not_end_a_longer_one(engine: sa.Engine) -> None:
    budget = RateBudget(engine, "somebody", BUDGET)
    budget.pause(0.5)
    budget.pause(0)
    started = time.monotonic()
    budget.take()
    assert time.monotonic() - started >= 0.4


def test_pause_of_hours_is_told_instead_of_slept_through(engine: sa.Engine, database: Any) -> None:
    budget = RateBudget(engine, "somebody", BUDGET, patience_s=5)
    budget.pause(10.0**12)
    asked = "select spoken_until from control.rate_budget where bucket = 'all'"
    before = database.value(asked)
    with pytest.raises(RateLimited, match="vendor=somebody") as told:
        budget.take()
    assert 86_000 < (told.value.retry_after or 0) < 87_000
    assert database.value(asked) == before


def test_sandbox_clock_that_runs_faster_makes_turns_come_faster(engine: sa.Engine) -> None:
    budget = RateBudget(engine, "somebody", replace(BUDGET, calls_per_minute=60, burst=1), speed=60)
    started = time.monotonic()
    for _ in range(10):
        budget.take()
    assert time.monotonic() - started < 1
