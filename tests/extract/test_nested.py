"""Rows that are nested in the rows of another table need no request, and each names the column that held it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.contract import INTEGER, MONEY, STRING, TIMESTAMP, Nested, Table, column, ignored
from include.extract.columns import staged_schema
from include.extract.nested import read_nested_rows
from include.extract.page import DeadRow, PageReader
from include.sensitive import Redactor
from include.staging.files import PartWriter
from include.staging.partitions import Manifest, Partition, Staging
from include.staging.reference import partition_path
from tests.extract.vendor_server import DAY, NOW
from tests.firm_keys import KEYRING

HOUSES = Table(
    "houses", "houses", ("house_id",),
    (column("house_id", "id", INTEGER, required=True), column("people", "people", STRING),
     column("requested_at", "@requested_at", TIMESTAMP)),
)  # fmt: skip
PEOPLE = Table(
    "people", "", ("person_id",), shape=Nested("houses", ("people",)), omits_nulls=True,
    columns=(
        column("person_id", "id", INTEGER, required=True),
        column("house_id", "@house_id", INTEGER, required=True),
        column("city", "home.city", STRING),
        column("worth_usd", "worth", MONEY),
    ),
)  # fmt: skip
Stage = Callable[..., str]


@pytest.fixture
def stage_houses(tmp_path: Path) -> Stage:
    """Stage houses, a part for each list of `(id, text of people)`."""

    def stage(*parts: Iterable[tuple[int, str | None]]) -> Partition:
        path = partition_path("testbank", "houses", DAY, "pull")
        writer = PartWriter(Staging(str(tmp_path), KEYRING.staging).folder(path), staged_schema(HOUSES))
        for rows in parts:
            staged = [{"house_id": id_, "people": people, "requested_at": NOW} for id_, people in rows]
            writer.write(pa.Table.from_pylist(staged, schema=writer.schema))
            writer.flush()
        manifest = Manifest(
            "testbank", "houses", DAY, "pull", "current", datetime.now(UTC), "v1", "", None, 0, 0, 0, 0, None, (),
            tuple(writer.parts),
        )  # fmt: skip
        return Staging(str(tmp_path), KEYRING.staging).seal(manifest)

    return stage


def pieces(parent: Partition, table: Table = PEOPLE) -> list[bytes]:
    assert isinstance(table.shape, Nested)
    return list(read_nested_rows(table, table.shape, parent))


def rows(parent: Partition, table: Table = PEOPLE) -> list[dict[str, Any]]:
    return [row for piece in pieces(parent, table) for row in json.loads(piece, parse_float=Decimal)]


def read(path: Partition, table: Table = PEOPLE) -> tuple[list[dict[str, Any]], list[DeadRow]]:
    """Read the good rows as they are staged, and the dead ones."""
    pages = [PageReader(table, Redactor(b"only for tests")).read(piece) for piece in pieces(path, table)]
    return [row for page in pages for row in page.rows.to_pylist()], [dead for page in pages for dead in page.dead]


def test_every_row_carries_the_columns_of_the_row_that_it_was_in(stage_houses: Stage) -> None:
    path = stage_houses([(1, '[{"id":11,"home":{"city":"Salem"},"worth":0.10},{"id":12}]')], [(2, '[{"id":21}]')])
    assert read(path) == (
        [
            {"person_id": 11, "house_id": 1, "city": "Salem", "worth_usd": Decimal("0.10")},
            {"person_id": 12, "house_id": 1, "city": None, "worth_usd": None},
            {"person_id": 21, "house_id": 2, "city": None, "worth_usd": None},
        ],
        [],
    )


def test_row_without_a_list_or_with_an_empty_one_gives_none(stage_houses: Stage) -> None:
    assert pieces(stage_houses([(1, None), (2, "[]")])) == [b"[]"]


def test_every_part_gives_one_piece(stage_houses: Stage) -> None:
    path = stage_houses([(1, '[{"id":11}]')], [(2, "[]")], [(3, '[{"id":31}]')])
    assert [len(json.loads(piece)) for piece in pieces(path)] == [1, 0, 1]
    assert pieces(stage_houses()) == []


def test_numbers_of_a_list_within_a_list_stay_exact(stage_houses: Stage) -> None:
    path = stage_houses([(1, '[{"id":11,"worth":90071992547409.93,"parts":[{"share":0.10}]}]')])
    [row] = rows(path)
    assert row["worth"] == Decimal("90071992547409.93")
    assert row["parts"] == '[{"share":0.10}]'


def test_nested_row_has_the_request_time_of_its_parent(stage_houses: Stage) -> None:
    table = Table(
        "people", "", ("person_id",), shape=Nested("houses", ("people",)),
        columns=(column("person_id", "id", INTEGER), column("requested_at", "@requested_at", TIMESTAMP, required=True)),
    )  # fmt: skip
    [good], dead = read(stage_houses([(1, '[{"id":11}]')]), table)
    assert (good, dead) == ({"person_id": 11, "requested_at": NOW}, [])


# --- lists within lists ---

GOALS = Table(
    "goals", "", ("house_id", "topic", "name"), shape=Nested("houses", ("people",), ("topics", "items")),
    columns=(
        column("house_id", "@house_id", INTEGER, required=True),
        column("topic", "^name", STRING, required=True),
        column("category", "^^name", STRING),
        column("name", "name", STRING, required=True),
        *ignored("details"),
    ),
)  # fmt: skip


def test_texts_on_the_way_to_a_row_are_named_by_how_far_they_are(stage_houses: Stage) -> None:
    categories = [
        {"name": "Goals", "size": 2, "topics": [
            {"name": "Living", "items": [{"name": "Rent"}, {"name": "Food"}]},
            {"name": "Travel", "items": [{"name": "Sea"}]},
        ]},
        {"name": "Wishes", "topics": [{"name": "Travel", "items": [{"name": "Moon"}]}]},
    ]  # fmt: skip
    path = stage_houses([(1, json.dumps(categories))])
    good, dead = read(path, GOALS)
    assert [tuple(row.values()) for row in good] == [
        (1, "Living", "Goals", "Rent"), (1, "Living", "Goals", "Food"),
        (1, "Travel", "Goals", "Sea"), (1, "Travel", "Wishes", "Moon"),
    ]  # fmt: skip
    assert dead == []


def test_what_is_missing_or_null_on_the_way_holds_no_rows(stage_houses: Stage) -> None:
    categories = [{"name": "a"}, {"topics": None}, {"topics": [{"items": None}, {"name": "b"}, {"items": []}]}]
    assert rows(stage_houses([(1, json.dumps(categories))]), GOALS) == []


def test_row_without_a_text_on_its_path_is_a_dead_letter(stage_houses: Stage) -> None:
    categories = [{"name": "x", "topics": [{"name": None, "items": [{"name": "Rent"}]}]}]
    good, dead = read(stage_houses([(1, json.dumps(categories))]), GOALS)
    assert good == []
    assert [dead_letter.reasons for dead_letter in dead] == [("^name: missing",)]


def test_texts_of_one_row_are_not_those_of_the_next(stage_houses: Stage) -> None:
    categories = [{"topics": [{"name": "a", "items": [{"name": "1"}]}, {"items": [{"name": "2"}]}]}]
    goals = rows(stage_houses([(1, json.dumps(categories))]), GOALS)
    assert [row.get("^name") for row in goals] == ["a", None]


def test_numbers_on_the_path_are_accepted_and_flags_or_lists_are_not(stage_houses: Stage) -> None:
    table = Table(
        "members", "", ("name",), shape=Nested("houses", ("people",), ("members",)),
        columns=(
            column("name", "name", STRING, required=True), column("place", "^order", INTEGER),
            column("worth_usd", "^worth", MONEY),
        ),
    )  # fmt: skip
    sets = [
        {"order": 2, "worth": 1, "tags": ["x"], "members": [{"name": "Ann"}]},
        {"order": None, "members": [{"name": "Bo"}]},
    ]
    path = stage_houses([(1, json.dumps(sets))])
    assert rows(path, table) == [
        {"name": "Ann", "^order": 2, "^worth": 1},
        {"name": "Bo"},
    ]  # fmt: skip
    good, dead = read(path, table)
    assert [(row["name"], row["place"]) for row in good] == [("Ann", 2), ("Bo", None)]
    assert dead == []


# --- lists in several columns ---

ROOMS = Table(
    "rooms", "rooms", ("house_id",),
    (column("house_id", "id", INTEGER, required=True), column("signer", "signers", STRING), column("witness", "witnesses", STRING)),
)  # fmt: skip
EVERYBODY = Table(
    "everybody", "", ("house_id", "person_id"), shape=Nested("rooms", ("signer", "witness")), omits_nulls=True,
    columns=(
        column("house_id", "@house_id", INTEGER, required=True), column("person_id", "id", INTEGER, required=True),
        column("role", "@in", STRING, required=True),
    ),
)  # fmt: skip


@pytest.fixture
def stage_rooms(tmp_path: Path) -> Stage:
    """Stage rooms of `(id, text of signers, text of witnesses)`."""

    def stage(*rooms: tuple[int, str | None, str | None]) -> Partition:
        path = partition_path("testbank", "rooms", DAY, "pull")
        writer = PartWriter(Staging(str(tmp_path), KEYRING.staging).folder(path), staged_schema(ROOMS))
        staged = [dict(zip(("house_id", "signer", "witness"), room, strict=True)) for room in rooms]
        writer.write(pa.Table.from_pylist(staged, schema=writer.schema))
        writer.flush()
        manifest = Manifest(
            "testbank", "rooms", DAY, "pull", "current", datetime.now(UTC), "v1", "", None, 0, 0, 0, 0, None, (),
            tuple(writer.parts),
        )  # fmt: skip
        return Staging(str(tmp_path), KEYRING.staging).seal(manifest)

    return stage


def test_row_knows_in_which_column_its_list_was(stage_rooms: Stage) -> None:
    path = stage_rooms((1, '[{"id":11},{"id":12}]', '[{"id":13}]'), (2, None, '[{"id":21}]'), (3, "[]", None))
    good, dead = read(path, EVERYBODY)
    assert [tuple(row.values()) for row in good] == [
        (1, 11, "signer"), (1, 12, "signer"), (1, 13, "witness"), (2, 21, "witness"),
    ]  # fmt: skip
    assert dead == []


def test_column_that_cannot_be_read_costs_no_row_of_the_others(stage_rooms: Stage) -> None:
    good, [dead] = read(stage_rooms((1, "N/A", '[{"id":13}]')), EVERYBODY)
    assert [row["role"] for row in good] == ["witness"]
    assert dead.reasons == ("the row is not an object",)


def test_object_that_is_skipped_is_not_in_the_rows(stage_rooms: Stage) -> None:
    table = replace(EVERYBODY, skipped=("tabs",), has_objects=True)
    path = stage_rooms((1, '[{"id":11,"tabs":{"text":[{"value":"x"}]}}]', None))
    assert [set(row) for row in rows(path, table)] == [{"id", "@house_id", "@in"}]


# --- values that are not lists ---


@pytest.mark.parametrize(
    "text", ["N/A", '["x"]', "7", '{"id":1}', '"text"', "[[1]]", '[{"id":1}', '[{"id":1},null]', "[" * 100_000]
)
def test_unreadable_list_is_one_dead_letter_and_affects_no_other_row(stage_houses: Stage, text: str) -> None:
    good, [dead] = read(stage_houses([(1, '[{"id":11}]'), (2, text), (3, '[{"id":31}]')]))
    assert [row["person_id"] for row in good] == [11, 31]
    assert dead.reasons == ("the row is not an object",)
