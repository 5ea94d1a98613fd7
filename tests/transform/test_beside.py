"""Rows that are read beside another table of the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from include.contract import Beside, EntityMap, constant, derived
from include.errors import DataQualityError
from include.transform.entities import INCOMPLETE
from tests.transform.staged import FUNDS, Staged


def with_owner(rows: pa.Table, funds: pa.Table) -> pa.Table:
    """Join a holding with its fund's owner."""
    owners = dict(zip(funds["fund"].to_pylist(), funds["owner"].to_pylist(), strict=True))
    joined = rows.append_column("owner", pa.array([owners.get(fund) for fund in rows["fund"].to_pylist()], pa.string()))
    return joined.append_column("row", pa.array(range(rows.num_rows), pa.int64()))


OWNED = EntityMap(
    "position",
    "holdings",
    {"position_key": "holding_id", "security_key": "owner", "is_cash": constant(False)},
    split=with_owner,
    takes=("holding_id", "fund"),
    beside={"funds": Beside(("fund", "owner"), {"fund": "fund"})},
)
FUND = replace(
    OWNED,
    entity="security",
    columns={
        "security_key": "fund",
        "name": "owner",
        "ticker": derived(lambda id_: id_.cast(pa.string()), "holding_id"),
    },
)


def test_row_is_read_beside_another_table_of_the_run(tmp_path: Path) -> None:
    funds = Staged(tmp_path, [("f1", "Ann", None)], [("f2", "Bob", None)], table=FUNDS)
    staged = Staged(tmp_path, [(1, 1, "f1", None)], [(2, 1, "f2", None), (3, 1, "gone", None)])
    [result] = staged.transform(OWNED, funds=funds)
    assert [row["security_key"] for row in staged.rows("position")] == ["Ann", "Bob", None]
    assert (result.staged, result.split, result.produced) == (3, 0, 3)


def test_fact_is_held_back_while_its_other_row_is_a_dead_letter(tmp_path: Path) -> None:
    funds = Staged(tmp_path, [("f1", "Ann", None), ("f2", "Bob", None)], refused=[(0, 0)], table=FUNDS)
    staged = Staged(tmp_path, [(1, 1, "f1", None), (2, 1, "f2", None), (3, 1, "gone", None), (4, 1, None, None)])
    [result] = staged.transform(OWNED, funds=funds)
    assert [(row["position_key"], row["security_key"]) for row in staged.rows("position")] == [
        ("2", "Bob"),
        ("3", None),
        ("4", None),
    ]
    assert dict(result.dropped) == {"nothing in it": 0, INCOMPLETE: 1}
    assert result.staged + result.split == result.produced + result.merged + sum(result.dropped.values())


def test_description_is_loaded_and_names_whom_a_dead_row_leaves_uncertain(tmp_path: Path) -> None:
    funds = Staged(tmp_path, [("f1", "Ann", None), ("f2", "Bob", None)], refused=[(0, 0)], table=FUNDS)
    staged = Staged(tmp_path, [(1, 1, "f1", None), (2, 1, "f2", None), (3, 1, "gone", None)])
    [result] = staged.transform(FUND, funds=funds)
    assert [(row["security_key"], row["name"]) for row in staged.rows("security")] == [
        ("f1", None),
        ("f2", "Bob"),
        ("gone", None),
    ]
    assert result.uncertain == ("f1",)


def test_dead_row_whose_key_cannot_be_read_leaves_all_uncertain_who_found_nothing(tmp_path: Path) -> None:
    funds = Staged(tmp_path, [("f1", "Ann", None), ("f2", "Bob", None)], refused=[(0, 0)], fault="fund", table=FUNDS)
    staged = Staged(tmp_path, [(1, 1, "f1", None), (2, 1, "f2", None), (3, 1, "gone", None), (4, 1, None, None)])
    [result] = staged.transform(FUND, funds=funds)
    assert result.uncertain == ("f1", "gone")


def test_dead_row_that_may_concern_any_row_leaves_all_uncertain(tmp_path: Path) -> None:
    funds = Staged(tmp_path, [("f1", "Ann", None), ("f2", "Bob", None)], refused=[(0, 0)], table=FUNDS)
    staged = Staged(tmp_path, [(1, 1, "f1", None), (2, 1, "f2", None)])
    [result] = staged.transform(replace(FUND, beside={"funds": Beside(("fund", "owner"))}), funds=funds)
    assert result.uncertain == ("f1", "f2")


def test_other_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "f1", None)])
    [result] = staged.transform(OWNED, funds=Staged(tmp_path, table=FUNDS))
    assert result.produced == 1


def test_other_table_that_was_not_pulled_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataQualityError, match="lacks=funds"):
        Staged(tmp_path, [(1, 1, "f1", None)]).transform(OWNED)
