"""Events that are pulled by window: pulls that are loaded late, or in another order, leave what the vendor has."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from include.control.ledger import Pull
from include.errors import WriterSuperseded
from include.staging.partitions import Partition
from include.warehouse.load import load
from tests.warehouse.loading import DAY, EDITED, NEXT, QUICK, Loader, Make, read_transactions, summarize, transaction


def pull_by_window(loader: Loader) -> None:
    """Let the vendor's transactions be pulled by edit window, or for a past day by trade date."""
    tables = (
        replace(each, pull="window", edited=("from", "to"), dated={"day": "%Y-%m-%d"})
        if each.name == "transaction"
        else each
        for each in loader.vendor.tables
    )
    loader.vendor = replace(loader.vendor, tables=tuple(tables))


def stage_window(
    loader: Loader, pulled: str, rows: list[dict[str, Any]], *, last: date = DAY, dead: Iterable[str] = ()
) -> tuple[Partition, Pull]:
    """Stage a full pull: by trade date for a past day, else of the edits of the last ten days."""
    loader.stage("transaction", rows, last, pulled=pulled, dead=dead)
    if pulled == "current":
        began = loader.pull.extracted_at
        window = ((began - timedelta(10)).isoformat(), began.isoformat())
        loader.partition = loader.staging.seal(replace(loader.partition.manifest, window=window))
    return loader.partition, loader.pull


# The vendor states only the day of an edit, so an edit after the pull may be dated before it.
ENTERED = int((datetime(2026, 11, 21, tzinfo=UTC) - EDITED).total_seconds() // 3600)


@pytest.mark.parametrize("pulled", ["current", "historical"])
def test_event_that_is_missing_from_its_window_is_withdrawn(loader: Loader, pulled: str) -> None:
    pull_by_window(loader)
    loader.load("transaction", [transaction("T", ENTERED, DAY, "posted", "1.00")], pulled="pushed")
    partition, pull = stage_window(loader, pulled, [])
    assert summarize(load(loader.engine, loader.vendor, {partition: pull})["transaction"]["transaction"]) == {
        "withdrawn": 1
    }
    assert read_transactions(loader) == {}


@pytest.mark.parametrize("pulled", ["current", "historical"])
@pytest.mark.parametrize("between", ["pushed", "current"])
def test_event_that_came_after_a_pull_began_is_not_withdrawn_by_it(loader: Loader, pulled: str, between: str) -> None:
    pull_by_window(loader)
    partition, pull = stage_window(loader, pulled, [transaction("S", 0, DAY, "posted", "1.00")])
    loader.load("transaction", [transaction("T", ENTERED, DAY, "posted", "5.00")], NEXT, pulled=between)
    counts = load(loader.engine, loader.vendor, {partition: pull})["transaction"]["transaction"]
    assert summarize(counts) == {"inserted": 1}
    assert read_transactions(loader).keys() == {"S", "T"}


def test_push_of_an_event_that_a_later_pull_does_not_cover_is_loaded(loader: Loader) -> None:
    pull_by_window(loader)
    loader.stage("transaction", [transaction("T", ENTERED - 24 * 20, DAY, "posted", "5.00")], pulled="pushed")
    push = {loader.partition: loader.pull}
    partition, pull = stage_window(loader, "current", [transaction("S", 0, DAY, "posted", "1.00")])
    load(loader.engine, loader.vendor, {partition: pull})
    assert summarize(load(loader.engine, loader.vendor, push)["transaction"]["transaction"]) == {"inserted": 1}
    assert read_transactions(loader).keys() == {"S", "T"}


@pytest.mark.parametrize("later", ["current", "historical"])
@pytest.mark.parametrize("earlier", ["current", "historical", "pushed"])
@pytest.mark.parametrize("remaining", [[], ["S"]])
def test_event_that_a_later_pull_of_its_window_lacks_is_not_brought_back(
    loader: Loader, earlier: str, later: str, remaining: list[str]
) -> None:
    pull_by_window(loader)
    loader.stage("transaction", [transaction("T", ENTERED, NEXT, "posted", "5.00")], pulled=earlier)
    stale = {loader.partition: loader.pull}
    rows = [transaction(key, ENTERED, NEXT, "posted", "1.00") for key in remaining]
    window, pull = stage_window(loader, later, rows, last=NEXT)
    load(loader.engine, loader.vendor, {window: pull})
    assert summarize(load(loader.engine, loader.vendor, stale)["transaction"]["transaction"]) == {"superseded": 1}
    assert read_transactions(loader).keys() == set(remaining)


@pytest.mark.parametrize("earlier", ["historical", "pushed"])
def test_event_that_a_later_pull_lacks_is_not_brought_back_by_a_load_at_the_same_time(
    loader: Loader, earlier: str
) -> None:
    pull_by_window(loader)
    remaining = transaction("S", ENTERED, DAY, "posted", "1.00")
    loader.load("transaction", [remaining], pulled="pushed")
    loader.stage("transaction", [transaction("T", ENTERED, DAY, "posted", "5.00"), remaining], pulled=earlier)
    stale = {loader.partition: loader.pull}
    window, pull = stage_window(loader, "current", [remaining], last=NEXT)
    with ThreadPoolExecutor(1) as pool:
        loads = []

        def load_stale(_: sa.Connection) -> None:
            loads.append(pool.submit(load, loader.engine, loader.vendor, stale))
            wait(loads, 1)

        load(loader.engine, loader.vendor, {window: pull}, load_stale)
        assert summarize(loads[0].result(20)["transaction"]["transaction"]) == {"unchanged": 1, "superseded": 1}
    assert read_transactions(loader).keys() == {"S"}


def test_event_that_is_unreadable_in_a_later_pull_is_brought_back_by_an_earlier_one(loader: Loader) -> None:
    pull_by_window(loader)
    loader.stage("transaction", [transaction("T", ENTERED, DAY, "posted", "5.00")], NEXT)
    stale = {loader.partition: loader.pull}
    partition, pull = stage_window(loader, "current", [], dead=["T"])
    load(loader.engine, loader.vendor, {partition: pull})
    assert summarize(load(loader.engine, loader.vendor, stale)["transaction"]["transaction"]) == {"inserted": 1}


PULLS = st.sampled_from(["current", "historical", "pushed"])
# Between two pulls, up to two events are edited or removed.
HISTORY = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("AB"), st.booleans(), max_size=2), PULLS), min_size=2, max_size=6
)


@QUICK
@given(history=HISTORY, data=st.data())
def test_pulls_of_events_loaded_in_any_order_leave_what_they_leave_in_their_own_order(
    new_loader: Make, history: list[tuple[dict[str, bool], str]], data: st.DataObject
) -> None:
    ordered, shuffled = new_loader(), new_loader()
    pulls = [stage_history(loader, history) for loader in (ordered, shuffled)]
    order = data.draw(st.permutations(range(len(pulls[0]))))
    load_each(ordered, pulls[0])
    load_each(shuffled, [pulls[1][n] for n in order])
    assert read_transactions(shuffled) == read_transactions(ordered)


def stage_history(loader: Loader, history: list[tuple[dict[str, bool], str]]) -> list[tuple[Partition, Pull]]:
    """Stage the pulls of a vendor whose events are edited (True) or removed (False) between them."""
    pull_by_window(loader)
    events: dict[str, dict[str, Any]] = {}
    pulls = []
    for n, (changes, pulled) in enumerate(history):
        for key, is_edited in changes.items():
            events.pop(key, None)
            if is_edited:
                events[key] = transaction(key, ENTERED - 100 + n, DAY, "posted", f"{n}.00")
        if pulled == "pushed":
            loader.stage("transaction", list(events.values()), pulled=pulled)
            pulls.append((loader.partition, loader.pull))
        else:
            last = DAY if pulled == "historical" else NEXT + timedelta(n)
            pulls.append(stage_window(loader, pulled, list(events.values()), last=last))
    return pulls


def load_each(loader: Loader, pulls: list[tuple[Partition, Pull]]) -> None:
    """Load pulls in an order in which a full pull may be superseded by a newer one of its day."""
    for partition, pull in pulls:
        try:
            load(loader.engine, loader.vendor, {partition: pull})
        except WriterSuperseded:
            assert pull.is_whole


def test_later_of_two_states_of_the_same_version_is_the_one_requested_later(loader: Loader) -> None:
    loader.load("transaction", [transaction("T", 0, DAY, "pending", "1.00")])
    loader.stage(
        "transaction", [transaction("T", 0, DAY, "pending", "1.00"), transaction("S", 0, DAY, "posted", "2.00")], NEXT
    )
    partition, pull = loader.partition, loader.pull
    loader.load("transaction", [transaction("T", 0, DAY, "posted", "1.25")], NEXT, pulled="pushed")
    counts = load(loader.engine, loader.vendor, {partition: pull})["transaction"]["transaction"]
    assert summarize(counts) == {"inserted": 1, "superseded": 1}
    assert read_transactions(loader)["T"] == (0, DAY, "posted", "1.25")
