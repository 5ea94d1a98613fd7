"""A day that is pulled again: only the rows that differ from its last load are copied, and nothing is missed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.contract import Constant
from include.control.ledger import Counts
from include.errors import TargetUnavailable
from include.sensitive import Redactor
from include.staging.files import PartWriter
from include.staging.partitions import Staging
from include.transform import entities
from include.warehouse import schema
from include.warehouse.load import load
from tests.firm_keys import KEYRING
from tests.warehouse.loading import Loader, position, read_positions, summarize


def read_statements(loader: Loader, load_rows: Callable[[], Counts]) -> tuple[Counts, str]:
    """Load, and return the counts and the text of all statements."""
    statements: list[str] = []
    sa.event.listen(loader.engine, "before_cursor_execute", lambda *event: statements.append(event[2]))
    return load_rows(), "\n".join(statements)


def test_day_that_is_pulled_again_without_a_change_is_not_copied_again(loader: Loader) -> None:
    rows = [position("A", 1), position("B", 2)]
    loader.load("position", rows)
    counts, statements = read_statements(loader, lambda: loader.load("position", rows))
    assert (summarize(counts), counts.money_out) == ({"unchanged": 2}, Decimal(3))
    assert "incoming_position" not in statements
    assert read_positions(loader) == {"A": (1, "a1", "1.00"), "B": (2, "a1", "2.00")}


@pytest.mark.parametrize("pulled", ["replay", "selected", "pushed"])
def test_row_that_another_kind_of_load_changed_is_changed_back_by_the_same_day_again(
    loader: Loader, pulled: str
) -> None:
    """The money is the same in both states, so only the order of the loads tells that the row differs."""
    rows = [position("A", 1, money="5"), position("B", 2)]
    loader.load("position", rows)
    loader.load("position", [position("A", 9, money="5")], pulled=pulled)
    assert summarize(loader.load("position", rows)) == {"updated": 1, "unchanged": 1}
    assert read_positions(loader)["A"] == (1, "a1", "5.00")


def test_row_that_was_disposed_of_is_loaded_by_the_same_day_again(loader: Loader) -> None:
    rows = [position("A", 1), position("B", 0)]
    loader.load("position", rows)
    loader.database.do(f"delete from warehouse.position where vendor = '{loader.vendor.name}' and position_key = 'B'")
    assert summarize(loader.load("position", rows)) == {"inserted": 1, "unchanged": 1}


def test_day_is_compared_with_the_last_load_not_with_an_earlier_equal_one(loader: Loader) -> None:
    for quantity in (1, 2):
        loader.load("position", [position("A", quantity, money="5")])
    assert summarize(loader.load("position", [position("A", 1, money="5")])) == {"updated": 1}


def test_partition_transformed_by_an_earlier_version_is_compared_in_full(loader: Loader) -> None:
    """Its canonical rows have no digest."""
    for quantity in (1, 2):
        loader.stage("position", [position("A", quantity, money="5")])
        folder = loader.partition.folder.below("canonical/position")
        manifest = json.loads(folder.read("manifest.json"))
        del manifest["digest"]
        folder.write("manifest.json", json.dumps(manifest).encode())
        counts = loader.publish()
    assert summarize(counts) == {"updated": 1}


def read_copied(loader: Loader, rows: list[Mapping[str, Any]]) -> tuple[dict[str, int], list[str]]:
    """Load positions, and return the counts and the keys of the rows that were copied into the database."""
    copied: list[str] = []

    def list_copied(connection: sa.Connection, statement: str, *_: Any) -> None:
        if statement.startswith("create temporary table compared_position"):
            copied.extend(connection.scalars(sa.text("select position_key from incoming_position order by 1")))

    sa.event.listen(
        loader.engine, "after_execute", lambda connection, clause, *rest: list_copied(connection, str(clause))
    )
    counts = summarize(loader.load("position", rows))
    return counts, copied


MANY = [position(f"K{n:03}", n) for n in range(100)]


def test_day_that_is_pulled_again_with_few_changes_copies_only_those(loader: Loader) -> None:
    loader.load("position", MANY)
    changed = {
        "K007": position("K007", 1007, money="7"),
        "K050": position("K050", 50, account="a2"),
        "K090": position("K090", 90, price_usd=Decimal(3)),  # it was null
    }
    counts, copied = read_copied(loader, [changed.get(str(row["position_key"]), row) for row in MANY])
    assert (counts, copied) == ({"updated": 3, "unchanged": 97}, list(changed))
    assert read_positions(loader)["K007"] == (1007, "a1", "7.00")
    assert read_positions(loader)["K050"] == (50, "a2", "50.00")
    assert len(read_positions(loader)) == 100


@pytest.mark.parametrize(
    "rows", [MANY[1:], [*MANY, position("K999")], [*MANY[1:], MANY[0]], [position(f"K{n:03}", -n) for n in range(100)]],
    ids=["a row is missing", "a row is new", "another order", "most rows changed"],
)  # fmt: skip
def test_day_that_is_pulled_again_with_other_keys_or_many_changes_is_compared_in_full(
    loader: Loader, rows: list[Mapping[str, Any]]
) -> None:
    loader.load("position", MANY)
    _, copied = read_copied(loader, rows)
    assert copied == sorted(str(row["position_key"]) for row in rows)
    assert read_positions(loader).keys() == set(copied)
    assert read_positions(loader)["K050"][0] == next(row["quantity"] for row in rows if row["position_key"] == "K050")


def test_day_whose_last_files_are_gone_is_compared_in_full(loader: Loader) -> None:
    loader.load("position", MANY)
    loader.partition.folder.remove()
    _, copied = read_copied(loader, [position("K000", 5), *MANY[1:]])
    assert len(copied) == 100


def test_files_that_were_written_again_since_the_last_load_are_not_trusted(loader: Loader) -> None:
    """After an upgrade that maps a column in another way, an operator clears the task `transform` of the earlier run."""
    loader.load("position", MANY)
    all_cash = [
        replace(each, columns=each.columns | {"is_cash": Constant(True)}) if each.entity == "position" else each
        for each in loader.vendor.maps
    ]
    loader.vendor = replace(loader.vendor, maps=tuple(all_cash))
    entities.transform(loader.vendor, loader.partition)
    counts, _ = read_copied(loader, [position("K000", 5), *MANY[1:]])
    assert counts == {"updated": 100}


def test_day_that_an_earlier_version_loaded_with_fewer_columns_is_compared_in_full(loader: Loader) -> None:
    loader.load("position", MANY)
    folder = loader.partition.folder.below("canonical/position")
    [rows] = entities.Canonical(loader.partition.folder, "position").rows()
    earlier = rows.drop_columns(["price_usd"])
    writer = PartWriter(folder, earlier.schema, "earlier-")
    writer.write(earlier)
    writer.flush()
    manifest = json.loads(folder.read("manifest.json")) | {"parts": [asdict(part) for part in writer.parts]}
    folder.write("manifest.json", json.dumps(manifest).encode())
    counts, copied = read_copied(loader, [position("K000", 5), *MANY[1:]])
    assert (counts, len(copied)) == ({"updated": 1, "unchanged": 99}, 100)


def test_day_that_is_pulled_again_after_a_rotation_of_the_hash_key_copies_only_changes(
    loader: Loader, tmp_path: Path
) -> None:
    """The files of the last load have the hashes of fewer keys, which are lifted when they are read."""
    before, after = Redactor(b"a" * 32), Redactor(b"a" * 32, b"b" * 32)

    def hash_keys(redactor: Redactor) -> list[Mapping[str, Any]]:
        return [row | {"position_key": redactor.hash(str(row["position_key"]))} for row in MANY]

    loader.staging = Staging(str(tmp_path), KEYRING.staging, redactor=before)
    loader.load("position", hash_keys(before))
    for old, new in zip(hash_keys(before), hash_keys(after), strict=True):
        loader.database.do(
            f"update warehouse.position set position_key = '{new['position_key']}' where position_key = '{old['position_key']}'"
        )
    loader.staging = Staging(str(tmp_path), KEYRING.staging, redactor=after)
    rows = hash_keys(after)
    rows[7] = rows[7] | {"quantity": Decimal(1007)}
    assert read_copied(loader, rows) == ({"updated": 1, "unchanged": 99}, [rows[7]["position_key"]])


def test_row_of_a_push_that_began_before_the_last_load_and_ended_after_it_is_changed_back(loader: Loader) -> None:
    """The ledger lists the push before the load, and the money is the same in both states."""
    rows = [position("A", 1, money="5"), position("B", 2)]
    loader.load("position", rows)
    loader.stage("position", [position("A", 9, money="5")], pulled="pushed")
    push, pushed = {loader.partition: loader.pull}, [True]
    other = schema.engine(loader.database.url())

    @sa.event.listens_for(other, "after_cursor_execute")
    def load_between(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "nextval('control.ledger_id')" in statement and pushed.pop():
            pushed.append(False)
            assert summarize(loader.load("position", rows)) == {"unchanged": 2}

    load(other, loader.vendor, push)
    other.dispose()
    assert read_positions(loader)["A"][0] == 9
    assert summarize(loader.load("position", rows)) == {"updated": 1, "unchanged": 1}


@pytest.mark.parametrize("key", ["K500", "K050"])
def test_row_that_comes_between_or_changes_fails_a_load_that_copies_few_rows(loader: Loader, key: str) -> None:
    """A new row would let the load withdraw every row that it has not copied."""
    loader.load("position", MANY)
    came: list[Counts] = []
    other = schema.engine(loader.database.url())

    @sa.event.listens_for(loader.engine, "after_cursor_execute")
    def come_between(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("create temporary table compared_position") and not came:
            loader.stage("position", [position(key, 7)], pulled="pushed")
            came.append(load(other, loader.vendor, {loader.partition: loader.pull})["position"]["position"])

    loader.stage("position", [position("K000", 5, money="0"), *MANY[1:]])
    partition, pull = loader.partition, loader.pull
    with pytest.raises(TargetUnavailable, match="changed the same rows"):
        load(loader.engine, loader.vendor, {partition: pull})
    other.dispose()
    assert summarize(load(loader.engine, loader.vendor, {partition: pull})["position"]["position"])["updated"] == 1
    assert read_positions(loader)[key][0] == 7
