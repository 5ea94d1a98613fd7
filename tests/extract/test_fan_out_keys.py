"""Which calls a fan-out makes: one per row of the parent table, or one per selected key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.contract import (
    STRING,
    FanOut,
    Table,
    column,
)
from include.errors import ConfigurationError
from include.extract.columns import staged_schema
from include.extract.fan_out import list_keys
from include.staging.files import PartWriter
from include.staging.partitions import Manifest, Partition, Staging
from include.staging.reference import partition_path
from tests.extract.fan_out_firm import ACCOUNTS, CLIENTS, clients
from tests.extract.vendor_server import DAY, NOW
from tests.firm_keys import KEYRING


@pytest.fixture
def stage_clients(tmp_path: Path) -> Any:
    def stage(*parts: list[dict[str, Any]]) -> Partition:
        path = partition_path("testbank", "clients", DAY, "pull")
        writer = PartWriter(Staging(str(tmp_path), KEYRING.staging).folder(path), staged_schema(CLIENTS))
        for rows in parts:
            writer.write(pa.Table.from_pylist(rows, schema=writer.schema))
            writer.flush()
        return Staging(str(tmp_path), KEYRING.staging).seal(
            Manifest(
                "testbank",
                "clients",
                DAY,
                "pull",
                "current",
                NOW,
                "v1",
                "",
                None,
                0,
                0,
                0,
                0,
                None,
                (),
                tuple(writer.parts),
            ),
        )

    return stage


def keys(
    table: Table, staged: Partition | None = None, chosen: tuple[str, ...] = (), *, is_keyed: bool = True
) -> list[Mapping[str, str]]:
    assert isinstance(table.shape, FanOut)
    return list_keys(table, table.shape, CLIENTS, staged, chosen, is_keyed=is_keyed)


def test_keys_are_those_of_every_part_in_order_and_each_once(stage_clients: Any) -> None:
    staged = stage_clients([{"client_id": "b"}, {"client_id": "a"}], [{"client_id": "c"}, {"client_id": "b"}])
    assert keys(ACCOUNTS, staged) == clients("a", "b", "c")


def test_only_flagged_rows_are_requested(stage_clients: Any) -> None:
    staged = stage_clients(
        [{"client_id": id_, "is_open": flag} for id_, flag in (("a", True), ("b", False), ("c", None))]
    )
    assert keys(replace(ACCOUNTS, shape=FanOut("clients", only="is_open")), staged) == clients("a")


def test_keys_hold_what_the_path_needs_and_what_the_rows_carry_as_texts(stage_clients: Any) -> None:
    table = Table(
        "x",
        "c/{client_id}",
        ("x_id",),
        (column("x_id", "id", STRING), column("p", "@plan", STRING)),
        shape=FanOut("clients"),
    )
    assert keys(table, stage_clients([{"client_id": "a", "plan": 7}])) == [{"client_id": "a", "plan": "7"}]


def test_chosen_keys_need_no_partition() -> None:
    assert keys(ACCOUNTS, None, ("b", "a")) == clients("b", "a")


def test_neither_partition_nor_choice_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match=r"not pulled.*table=accounts parent=clients"):
        keys(ACCOUNTS)


def test_choice_of_another_table_s_keys_is_refused() -> None:
    deep = replace(ACCOUNTS, path="clients/{client_id}/plans/{plan}/accounts")
    with pytest.raises(ConfigurationError, match="not pulled"):
        keys(deep, None, ("a",), is_keyed=False)


def test_keys_hold_what_the_headers_need(stage_clients: Any) -> None:
    table = replace(ACCOUNTS, path="accounts", shape=FanOut("clients", headers={"x-plan": "{plan}"}))
    staged = stage_clients([{"client_id": "b", "plan": 7}], [{"client_id": "a", "plan": 9}])
    assert keys(table, staged) == [{"client_id": "a", "plan": "9"}, {"client_id": "b", "plan": "7"}]


def test_key_that_people_choose_names_all_that_is_needed_in_the_order_of_the_columns() -> None:
    table = replace(ACCOUNTS, shape=FanOut("clients", headers={"x-plan": "{plan}"}))
    assert keys(table, None, ("a|7",)) == [{"client_id": "a", "plan": "7"}]
    for half in ("a", "a|7|8"):
        with pytest.raises(ConfigurationError, match=r"wrong number of parts.*expected=client_id\|plan"):
            keys(table, None, (half,))
