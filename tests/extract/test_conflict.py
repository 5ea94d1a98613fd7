"""Two rows of one response with the same key: a duplicate if equal, else both are dead letters; the sums balance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.contract import (
    INTEGER,
    MONEY,
    STRING,
    EntityMap,
    Linked,
    Numbered,
    Offset,
    Positioned,
    Report,
    Shape,
    Table,
    Whole,
    column,
    sensitive,
)
from include.extract.conflict import separate
from include.extract.page import PageReader
from include.extract.paging import ordered_pages
from include.extract.pull import Span, stage
from include.staging.partitions import Partition, Staging
from tests.extract.vendor_server import DAY, NOW, REDACTOR, Puller, RecordedCall, Reply, listen, vendor_of
from tests.firm_keys import KEYRING

TABLE = Table(
    "rows", "rows", ("row_id",), page_rows=30, money="amount_usd",
    columns=(
        column("row_id", "id", INTEGER, required=True),
        column("amount_usd", "amount", MONEY),
        column("name", "label", STRING),
        sensitive("tax_id", "ssn"),
    ),
)  # fmt: skip
SSN = "123-45-6789"
REPORT = Report({}, "jobId", "status", "Complete", ("Failed",))
PAGED: list[Shape] = [
    Whole(), Offset("id"), Numbered("page", "size"), Positioned("start", "count"), Linked("next", "limit"), REPORT,
]  # fmt: skip
Row = dict[str, Any]


def row(id_: int, amount: str = "1.00", label: str = "x", ssn: str | None = None) -> Row:
    return {"id": id_, "amount": amount, "label": label, "ssn": ssn}


def reply_with(call: RecordedCall, rows: list[Row]) -> Reply:
    """Reply with the rows that a call selects, whatever its way of paging."""
    if call.method == "POST":
        return Reply({"jobId": 1}, status=201)
    if call.path.endswith("/1"):
        return Reply({"status": "Complete"})
    if call.path.endswith("/file"):
        lines = ["id,amount,label,ssn", *(",".join(str(cell or "") for cell in each.values()) for each in rows)]
        return Reply(kind="text/csv", content="\n".join([*lines, ""]).encode())
    params = {name: int(text) for name, text in call.params.items() if text.isdigit()}
    if "$skip" in params:
        return Reply(rows[params["$skip"] :][: params["$top"]])
    if "page" in params:
        return Reply(rows[(params["page"] - 1) * params["size"] :][: params["size"]])
    if "start" in params:
        return Reply(rows[params["start"] :][: params["count"]])
    return Reply({"next": None, "items": rows} if "limit" in params else rows)


def table_of(shape: Shape) -> Table:
    return replace(TABLE, shape=shape, rows="items" if isinstance(shape, Linked) else "")


@pytest.fixture
def start_puller(engine: sa.Engine, tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as running:

        def start(rows: list[Row], shape: Shape, *maps: EntityMap) -> Puller:
            listener = running.enter_context(listen(lambda call: reply_with(call, rows)))
            vendor = vendor_of(table_of(shape), maps=maps)
            return Puller(engine, vendor, listener.url, tmp_path, speed=1000)

        yield start


def dead_letters(partition: Partition) -> list[dict[str, Any]]:
    return [json.loads(line) for line in partition.read_dead_lines()]


@pytest.mark.parametrize("shape", PAGED, ids=lambda shape: type(shape).__name__)
def test_rows_that_share_a_key_and_differ_are_dead_letters_that_name_the_fields(
    start_puller: Any, shape: Shape
) -> None:
    puller = start_puller([row(1), row(2, "10.01", "a"), row(2, "99.99", "b"), row(3)], shape)
    partition = puller.pull(table_of(shape))
    manifest = partition.manifest
    assert (manifest.staged, manifest.dead, str(manifest.money)) == (2, 2, "2.00")
    assert manifest.fetched == manifest.staged + manifest.duplicate + manifest.dead
    for dead_letter, amount in zip(dead_letters(partition), (10.01, 99.99), strict=True):
        assert (dead_letter["key"], dead_letter["row"]["amount"]) == ("2", amount)
        assert dead_letter["reasons"] == [
            "amount: differs among rows of this key",
            "label: differs among rows of this key",
        ]


@pytest.mark.parametrize("shape", PAGED, ids=lambda shape: type(shape).__name__)
def test_rows_that_share_a_key_and_do_not_differ_are_one_row(start_puller: Any, shape: Shape) -> None:
    puller = start_puller([row(1), row(2), row(2), row(3)], shape)
    manifest = puller.pull(table_of(shape)).manifest
    assert (manifest.staged, manifest.dead) == (3, 0)
    assert manifest.duplicate >= 1
    assert manifest.fetched == manifest.staged + manifest.duplicate


def test_sensitive_field_that_differs_is_named_and_its_value_kept_nowhere() -> None:
    body = json.dumps([row(2, ssn=SSN), row(2, ssn="987-65-4321")]).encode()
    page = separate(PageReader(TABLE, REDACTOR).read(body), TABLE)
    assert {dead.reasons for dead in page.dead} == {("ssn: differs among rows of this key",)}
    assert not [dead for dead in page.dead if SSN in dead.raw or "6789" in dead.raw]


def test_lots_of_a_holding_have_one_key_and_all_stay(start_puller: Any) -> None:
    lots = EntityMap("position", "rows", {}, merged=True, summed=("quantity",))
    puller = start_puller([row(1, "1.00"), row(1, "2.00"), row(1, "2.00")], REPORT, lots)
    manifest = puller.pull(table_of(REPORT)).manifest
    assert (manifest.staged, manifest.dead, manifest.duplicate) == (3, 0, 0)


@pytest.mark.parametrize("connections", [1, 4])
def test_both_rows_die_wherever_the_pages_part_them(connections: int, tmp_path: Path) -> None:
    reader = PageReader(TABLE, REDACTOR)
    for place in range(70):
        ids = sorted([*range(75), place])
        rows = [row(n, f"{number}.00" if n == place else "1.00") for number, n in enumerate(ids)]

        def fetch(skip: int, top: int, rows: list[Row] = rows) -> Any:
            return separate(reader.read(json.dumps(rows[skip : skip + top]).encode()), TABLE)

        windows = ordered_pages(fetch, "row_id", 30, connections, "testbank", "rows")
        staging = Staging(str(tmp_path), KEYRING.staging)
        partition = stage(vendor_of(TABLE), TABLE, Span(DAY), windows, reader, staging, NOW)
        manifest = partition.manifest
        staged = [n for _, part in partition.rows() for n in part.column("row_id").to_pylist()]
        assert staged == [n for n in range(75) if n != place]
        assert [json.loads(line)["key"] for line in partition.read_dead_lines()] == [str(place)] * 2
        assert manifest.fetched == manifest.staged + manifest.dead + manifest.duplicate


def test_row_that_is_edited_between_two_pages_is_read_once() -> None:
    reader, reads = PageReader(TABLE, REDACTOR), 0

    def fetch(skip: int, top: int) -> Any:
        nonlocal reads
        reads += 1
        rows = [row(n, f"{reads}.00") for n in range(75)]
        return separate(reader.read(json.dumps(rows[skip : skip + top]).encode()), TABLE)

    windows = list(ordered_pages(fetch, "row_id", 30, 1, "testbank", "rows"))
    assert [n for window in windows for n in window.page.rows.column("row_id").to_pylist()] == list(range(75))
    assert not [dead for window in windows for dead in window.page.dead]
