"""One key in two responses of a pull: a duplicate where the rows are equal; else the newest counts, or each is a dead letter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
    TIMESTAMP,
    FanOut,
    Linked,
    Nested,
    Numbered,
    Offset,
    Positioned,
    Shape,
    Table,
    column,
)
from include.staging import files
from include.staging.partitions import Partition
from tests.extract.vendor_server import Puller, RecordedCall, Reply, listen, vendor_of

TABLE = Table(
    "rows", "rows", ("row_id",), page_rows=30, money="amount_usd",
    columns=(
        column("row_id", "id", INTEGER, required=True),
        column("amount_usd", "amount", MONEY),
        column("name", "label", STRING),
        column("edited_at", "editedDate", TIMESTAMP),
    ),
)  # fmt: skip
PARENTS = Table(
    "parents", "parents", ("parent",), (column("parent", "id", STRING, required=True), column("list", "list", STRING))
)
REQUESTED_AT = column("requested_at", "@requested_at", TIMESTAMP, required=True)
PARENT = column("parent", "@parent", STRING, required=True)
PAGED: list[Shape] = [Offset("id"), Numbered("page", "size"), Positioned("start", "count"), Linked("next", "limit")]
DIFFERS = ["amount: differs among rows of this key", "label: differs among rows of this key"]
Row = dict[str, Any]
Start = Callable[..., Puller]


def row(id_: int, amount: str = "1.00", label: str = "x", edited: str | None = None) -> Row:
    return {"id": id_, "amount": amount, "label": label, "editedDate": edited}


def serve_pages(shape: Shape, *pages: list[Row]) -> Callable[[RecordedCall], Reply]:
    """Serve these pages, then none, as a shape requests them; with `Offset`, a page starts with the last row of the previous one."""
    starts = [sum(len(page) for page in pages[:n]) for n in range(len(pages))]

    def answer(call: RecordedCall) -> Reply:
        params = call.params
        if "$skip" in params:
            skip = int(params["$skip"])
            served = [
                page for start, page in zip(starts, pages, strict=True) if start - 10 <= skip < start + len(page) - 10
            ]
            return Reply(served[0] if served else pages[-1][-10:])
        if "page" in params:
            n = int(params["page"]) - 1
        elif "start" in params:
            n = [*starts, sum(map(len, pages))].index(int(params["start"]))
        else:
            n = int(params.get("at", 0))
            following = f"/rows?limit=30&at={n + 1}" if n + 1 < len(pages) else None
            return Reply({"next": following, "items": pages[n]})
        return Reply(pages[n] if n < len(pages) else [])

    return answer


def table_of(shape: Shape, **changes: Any) -> Table:
    return replace(TABLE, shape=shape, rows="items" if isinstance(shape, Linked) else "", **changes)


@pytest.fixture
def start(engine: sa.Engine, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as running:

        def begin(answer: Callable[[RecordedCall], Reply], *tables: Table) -> Puller:
            listener = running.enter_context(listen(answer))
            return Puller(engine, vendor_of(*tables), listener.url, tmp_path, run_id=str(tmp_path))

        yield begin


def dead_letters(partition: Partition) -> list[Row]:
    return [json.loads(line) for line in partition.read_dead_lines()]


def read_staged(partition: Partition) -> list[Row]:
    return [row for _, rows in partition.rows() for row in rows.to_pylist()]


def check_sums(partition: Partition) -> None:
    manifest, rows = partition.manifest, read_staged(partition)
    assert manifest.fetched == manifest.staged + manifest.duplicate + manifest.dead
    assert (manifest.staged, manifest.dead) == (len(rows), len(dead_letters(partition)))
    assert manifest.money == sum(row["amount_usd"] for row in rows)
    assert sum(part.rows for part in manifest.parts) == len(rows)


def pages(shape: Shape, second: Row) -> list[list[Row]]:
    """Return two pages that both hold row 29."""
    first = [row(n, "5.00", "a") if n == 29 else row(n) for n in range(30)]
    overlap = first[20:29] if isinstance(shape, Offset) else []
    return [first, [*overlap, second, *(row(n) for n in range(30, 40))]]


@pytest.mark.parametrize("shape", PAGED, ids=lambda shape: type(shape).__name__)
@pytest.mark.parametrize("part_rows", [1, 100_000])
def test_rows_of_two_pages_that_share_a_key_and_differ_are_dead_letters(
    start: Start, shape: Shape, part_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROWS_A_PART", part_rows)
    table = table_of(shape)
    puller = start(serve_pages(shape, *pages(shape, row(29, "7.00", "b"))), table)
    partition = puller.pull(table)
    assert [(each["key"], each["row"]["amount"], each["reasons"]) for each in dead_letters(partition)] == [
        ("29", 5.0, DIFFERS),
        ("29", 7.0, DIFFERS),
    ]
    assert [each["row_id"] for each in read_staged(partition)] == [n for n in range(40) if n != 29]
    check_sums(partition)


@pytest.mark.parametrize("shape", PAGED, ids=lambda shape: type(shape).__name__)
def test_rows_of_two_pages_that_are_equal_are_one_row(start: Start, shape: Shape) -> None:
    table = table_of(shape)
    puller = start(serve_pages(shape, *pages(shape, row(29, "5.00", "a"))), table)
    partition = puller.pull(table)
    assert [each["row_id"] for each in read_staged(partition)] == list(range(40))
    assert partition.manifest.duplicate >= 1
    check_sums(partition)


@pytest.mark.parametrize("shape", PAGED, ids=lambda shape: type(shape).__name__)
@pytest.mark.parametrize(("first", "second", "amount"), [(1, 2, "7.00"), (2, 1, "5.00")])
def test_of_a_row_that_is_edited_between_two_pages_the_newer_state_counts(
    start: Start, shape: Shape, first: int, second: int, amount: str
) -> None:
    table = table_of(shape, version="edited_at")
    before, after = pages(shape, row(29, "7.00", "b", f"2026-11-20T15:00:0{second}Z"))
    before[29]["editedDate"] = f"2026-11-20T15:00:0{first}Z"
    puller = start(serve_pages(shape, before, after), table)
    partition = puller.pull(table)
    assert [str(each["amount_usd"]) for each in read_staged(partition) if each["row_id"] == 29] == [amount]
    assert sorted(each["row_id"] for each in read_staged(partition)) == list(range(40))
    assert not dead_letters(partition)
    check_sums(partition)


@pytest.mark.parametrize("edited", [None, "2026-11-20T15:00:00Z"])
def test_rows_that_differ_and_of_which_none_is_newer_are_dead_letters(start: Start, edited: str | None) -> None:
    shape = Numbered("page", "size")
    table = table_of(shape, version="edited_at")
    before, after = pages(shape, row(29, "7.00", "b", edited))
    before[29]["editedDate"] = edited
    puller = start(serve_pages(shape, before, after), table)
    partition = puller.pull(table)
    assert [each["reasons"] for each in dead_letters(partition)] == [DIFFERS, DIFFERS]
    check_sums(partition)


def test_row_that_differs_from_two_rows_of_another_page_dies_with_them(start: Start) -> None:
    shape = Positioned("start", "count")
    table = table_of(shape, version="edited_at")
    edited = [row(29, f"{n}.00", edited=f"2026-11-20T15:00:0{n}Z") for n in (6, 7)]
    before, after = pages(shape, row(50))
    before[29]["editedDate"] = (
        "2026-11-20T15:00:05Z"  # a single newest row would count if one page did not contradict itself
    )
    puller = start(serve_pages(shape, before, [*after, *edited]), table)
    partition = puller.pull(table)
    assert sorted(each["row"]["amount"] for each in dead_letters(partition)) == [5.0, 6.0, 7.0]
    check_sums(partition)


def test_of_several_states_of_a_row_each_is_one_dead_letter(start: Start) -> None:
    shape = Positioned("start", "count")
    table = table_of(shape)
    many = [[row(1, f"{n % 3}.00"), row(100 + n)] for n in range(12)]
    puller = start(serve_pages(shape, *many), table)
    partition = puller.pull(table)
    assert [each["row"]["amount"] for each in dead_letters(partition)] == [0.0, 1.0, 2.0]
    assert len(read_staged(partition)) == 12
    check_sums(partition)


def fan_out(start: Start, first: list[Row], second: list[Row], **headers: str) -> tuple[Puller, str]:
    table = replace(
        table_of(FanOut("parents", headers=headers)),
        path="parents/{parent}", columns=(*TABLE.columns, PARENT, REQUESTED_AT),
    )  # fmt: skip
    rows_of_path = {"/parents/p1": first, "/parents/p2": second}
    puller = start(lambda call: Reply(rows_of_path[call.path]), PARENTS, table)
    return puller, puller.pull(table, keys=[{"parent": "p1"}, {"parent": "p2"}])


@pytest.mark.parametrize("is_one_answer", [True, False])
def test_rows_of_a_fan_out_that_share_a_key_and_differ_are_dead_letters(start: Start, is_one_answer: bool) -> None:
    rows = [row(1), row(2, "5.00", "a")], [row(2, "7.00", "b"), row(3)]
    _, partition = fan_out(start, *([*rows[0], *rows[1]], []) if is_one_answer else rows)
    assert [each["reasons"] for each in dead_letters(partition)] == [DIFFERS, DIFFERS]
    assert [each["row_id"] for each in read_staged(partition)] == [1, 3]
    check_sums(partition)


def test_row_that_two_parents_show_alike_is_a_duplicate_whenever_it_was_requested(start: Start) -> None:
    _, partition = fan_out(start, [row(1), row(2)], [row(2), row(3)])
    assert [each["row_id"] for each in read_staged(partition)] == [1, 2, 3]
    assert partition.manifest.duplicate == 1
    check_sums(partition)


def test_what_two_users_see_of_a_row_is_no_conflict(start: Start) -> None:
    _, partition = fan_out(start, [row(1, label="to sign")], [row(1, label="signed")], user="{parent}")
    assert [each["name"] for each in read_staged(partition)] == ["to sign"]
    check_sums(partition)


def test_what_one_user_sees_twice_and_differs_is_a_dead_letter(start: Start) -> None:
    _, partition = fan_out(start, [row(1, label="to sign"), row(1, label="signed")], [row(2)], user="{parent}")
    assert len(dead_letters(partition)) == 2
    assert [each["row_id"] for each in read_staged(partition)] == [2]
    check_sums(partition)


@pytest.mark.parametrize("is_one_parent", [True, False])
def test_nested_rows_that_share_a_key_and_differ_are_dead_letters(start: Start, is_one_parent: bool) -> None:
    rows = [row(1), row(2, "5.00", "a")], [row(2, "7.00", "b"), row(3)]
    lists = [[*rows[0], *rows[1]], []] if is_one_parent else rows
    table = replace(table_of(Nested("parents", ("list",))), columns=(*TABLE.columns, PARENT))
    parents = [{"id": f"p{n}", "list": json.dumps(each)} for n, each in enumerate(lists)]
    puller = start(lambda call: Reply(parents), PARENTS, table)
    partition = puller.pull(table, parent=puller.pull(PARENTS))
    assert [each["reasons"] for each in dead_letters(partition)] == [DIFFERS, DIFFERS]
    assert [each["row_id"] for each in read_staged(partition)] == [1, 3]
    check_sums(partition)
