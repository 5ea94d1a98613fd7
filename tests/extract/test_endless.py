"""Pages that bring new rows without end stop at a limit, whatever the shape; so do the pages of one call of a fan-out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.contract import FanOut, Limits, Linked, Offset, Table
from include.errors import LimitExceeded
from include.extract.shapes import most_rows
from tests.extract.fan_out_firm import ACCOUNTS, CLIENTS
from tests.extract.paged_rows import CURSOR, NUMBERED, POSITIONED, rows_of
from tests.extract.vendor_server import Answer, Puller, RecordedCall, Reply, listen, vendor_of

OFFSET = replace(NUMBERED, shape=Offset("id"))


def endless() -> Answer:
    """Reply with new rows to each call, and always with a next page."""
    pages = itertools.count()

    def answer(call: RecordedCall) -> Reply:
        if "$skip" in call.params:
            first, size = int(call.params["$skip"]), int(call.params["$top"])
            return Reply(rows_of(*range(first, first + size)))
        page = next(pages)
        rows = rows_of(*range(page * 3, page * 3 + 3))
        if "page" in call.params:
            return Reply(rows)
        return Reply({"items": rows, "next": f"/rows?p={page}", "page": {"nextCursor": f"c{page}"}})

    return answer


@pytest.fixture
def puller(engine: sa.Engine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Puller]:
    with ExitStack() as running:
        listener = running.enter_context(listen(endless()))
        yield Puller(engine, vendor_of(NUMBERED), listener.url, tmp_path, request.node.name, most_rows=100)


@pytest.mark.parametrize(
    "table", [OFFSET, NUMBERED, POSITIONED, CURSOR], ids=["offset", "number", "position", "cursor"]
)
def test_pages_that_bring_new_rows_without_end_stop_at_the_limit(puller: Puller, table: Table) -> None:
    with pytest.raises(
        LimitExceeded, match=r"exceeds the maximum rows.*vendor=testbank table=rows rows=10[0-9] most=100"
    ):
        puller.pull(table)
    assert not list(puller.folder.rglob("manifest.json"))


def test_pages_of_one_call_of_a_fan_out_stop_at_the_limit_of_a_response(engine: sa.Engine, tmp_path: Path) -> None:
    pages = itertools.count()

    def answer(call: RecordedCall) -> Reply:
        page = next(pages)
        return Reply({"items": [{"id": f"a{page}", "value": {"amount": 1}}], "next": f"c{page}"})

    table = replace(ACCOUNTS, shape=FanOut("clients", pages=Linked("next", "size", "cursor")), rows="items")
    vendor = vendor_of(CLIENTS, table, limits=Limits(expanded_bytes=5_000))
    with listen(answer) as listener:
        puller = Puller(engine, vendor, listener.url, tmp_path, "endless fan-out")
        with pytest.raises(LimitExceeded, match=r"does not end.*vendor=testbank table=accounts"):
            puller.rows(table, keys=[{"client_id": "c1"}])


@pytest.mark.parametrize(
    ("loaded", "most"), [(None, 20_000_000), (5, 1_000_000), (300_000, 6_000_000), (3_000_000, 20_000_000)]
)
def test_limit_follows_the_largest_pull_that_was_loaded_up_to_the_declared_one(loaded: int | None, most: int) -> None:
    assert most_rows(20_000_000, loaded) == most
