"""Rows of one key: those that are added up, and those that are states of one event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.contract import EntityMap, constant, derived
from include.transform.entities import INCOMPLETE
from tests.lives import LIVED, find_winner, states_of
from tests.transform.staged import ROWS, STATES, Staged

LIVES = EntityMap(
    "envelope",
    "states",
    {
        "envelope_key": "life",
        "subject": derived(lambda id_: id_.cast(pa.string()), "state_id"),
        "is_final": "is_final",
        "reopened_at": "reopened_at",
        "changed_at": "changed_at",
    },
    merged=True,
)
LOTS = EntityMap(
    "position",
    "holdings",
    {
        "position_key": "fund",
        "account_key": "account_id",
        "market_value_usd": "worth_usd",
        "is_cash": constant(False),
    },
    merged=True,
    summed=("market_value_usd",),
)


# --- rows that are added up ---


def test_rows_of_one_key_are_added_up_over_all_parts(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 7, "a", Decimal("1.10")), (2, 8, "b", Decimal(5))], [(3, 9, "a", Decimal("2.20"))])
    [result] = staged.transform(LOTS)
    rows = [(row["position_key"], row["account_key"], row["market_value_usd"]) for row in staged.rows("position")]
    assert rows == [
        ("a", "7", Decimal("3.30")),
        ("b", "8", Decimal("5.00")),
    ]  # the other columns are those of the first row
    assert (result.staged, result.merged, result.produced) == (3, 1, 2)


@pytest.mark.parametrize(
    ("worth", "sum_"), [([None, None], None), ([None, Decimal(2)], Decimal(2)), ([Decimal(2), None], Decimal(2))]
)
def test_missing_amount_adds_nothing_and_nothing_but_missing_ones_is_missing(
    tmp_path: Path, worth: list[Decimal | None], sum_: Decimal | None
) -> None:
    staged = Staged(tmp_path, [(n, 1, "a", each) for n, each in enumerate(worth)])
    staged.transform(LOTS)
    assert [row["market_value_usd"] for row in staged.rows("position")] == [sum_]


def test_rows_that_are_dropped_are_not_added(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "a", Decimal(1)), (2, 9, "a", Decimal(2))])
    odd = replace(LOTS, dropped={"account 9": derived(lambda a: pc.equal(a, 9), "account_id")})
    [result] = staged.transform(odd)
    assert [row["market_value_usd"] for row in staged.rows("position")] == [Decimal(1)]
    assert (result.merged, dict(result.dropped)) == (0, {"account 9": 1})


@pytest.mark.parametrize(
    ("fault", "expected"), [("worth_usd", ["b", "c"]), ("fund", ["c"]), ("account_id", ["b", "c"])]
)
def test_sum_of_which_a_row_is_dead_is_held_back(tmp_path: Path, fault: str, expected: list[str]) -> None:
    """A dead row whose key is unreadable may belong to any sum of its account."""
    rows = [(1, 7, "a", Decimal(1)), (2, 7, "a", Decimal(2)), (3, 7, "b", Decimal(4)), (4, 8, "c", Decimal(8))]
    staged = Staged(tmp_path, rows, refused=[(0, 1)], fault=fault)
    [result] = staged.transform(LOTS)
    assert [row["position_key"] for row in staged.rows("position")] == expected
    assert dict(result.dropped) == {INCOMPLETE: 3 - len(expected)}
    assert result.staged == result.produced + result.merged + sum(result.dropped.values())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(parts=st.lists(ROWS, max_size=3))
def test_sum_of_all_is_the_sum_of_the_added_up(tmp_path_factory: pytest.TempPathFactory, parts: list[Any]) -> None:
    filled = [[(n, *row) for n, row in enumerate(part)] for part in parts if part]
    rows = [row for part in filled for row in part]
    staged = Staged(tmp_path_factory.mktemp("lots"), *filled)
    [result] = staged.transform(LOTS)
    assert result.money == result.money_in == sum((row[3] or Decimal(0) for row in rows), Decimal(0))
    assert {row["position_key"] for row in staged.rows("position")} == {row[2] for row in rows}
    assert result.staged == len(rows) == result.produced + result.merged


# --- rows that are states of one event ---

BEGAN = datetime(2026, 11, 20, 9, tzinfo=UTC)


def hour(n: int | None) -> datetime | None:
    return None if n is None else BEGAN + timedelta(hours=n)


def newest(folder: Path, *parts: Iterable[tuple[str, int | None, bool, int | None]]) -> dict[str, int]:
    """Return the winning state of each life; states are `(life, hour of change, is final, hour of reopening)`, numbered from 0."""
    numbers = iter(range(99))
    rows = [
        [(next(numbers), life, ends, hour(reopened), hour(changed)) for life, changed, ends, reopened in part]
        for part in parts
    ]
    staged = Staged(folder, *rows, table=STATES)
    [result] = staged.transform(LIVES)
    newest_states = {row["envelope_key"]: int(row["subject"]) for row in staged.rows("envelope")}
    assert result.staged == sum(map(len, rows)) == result.produced + result.merged
    assert result.produced == len(newest_states)
    return newest_states


def test_newest_state_counts_over_all_parts(tmp_path: Path) -> None:
    parts = [
        [("a", 1, False, None), ("b", 5, False, None)],
        [("a", 3, False, None), ("b", 4, False, None)],
        [("a", 2, False, None)],
    ]
    assert newest(tmp_path, *parts) == {"a": 2, "b": 1}


def test_final_state_wins_over_later_non_final_states(tmp_path: Path) -> None:
    assert newest(tmp_path, [("a", 1, False, None), ("a", 2, True, None), ("a", 3, False, None)]) == {"a": 1}


def test_later_end_replaces_an_end(tmp_path: Path) -> None:
    assert newest(tmp_path, [("a", 2, True, None), ("a", 4, True, None), ("a", 3, False, None)]) == {"a": 1}


def test_life_that_was_reopened_after_its_end_is_open(tmp_path: Path) -> None:
    assert newest(tmp_path, [("a", 4, False, 3), ("a", 2, True, None), ("a", 1, False, None)]) == {"a": 0}


def test_life_that_was_reopened_before_its_end_has_ended(tmp_path: Path) -> None:
    assert newest(tmp_path, [("a", 5, False, 3), ("a", 4, True, 3)]) == {"a": 1}


def test_life_that_was_reopened_at_the_time_of_its_end_has_ended(tmp_path: Path) -> None:
    assert newest(tmp_path, [("a", 5, False, 4), ("a", 4, True, None)]) == {"a": 1}


def test_end_counts_where_two_states_have_one_time(tmp_path: Path) -> None:
    assert newest(tmp_path, [("a", 2, False, None), ("a", 2, True, None)]) == {"a": 1}


def test_state_without_a_time_is_the_oldest(tmp_path: Path) -> None:
    assert newest(tmp_path, [("a", None, False, None), ("a", 1, False, None)]) == {"a": 1}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(life=LIVED, data=st.data())
def test_order_in_which_states_of_a_life_come_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, life: list[str], data: st.DataObject
) -> None:
    states = states_of(life)
    order = data.draw(st.permutations(range(len(states))))
    cut = data.draw(st.integers(0, len(states)))
    rows = [("a", *states[n]) for n in order]
    [place] = newest(tmp_path_factory.mktemp("lives"), *filter(None, [rows[:cut], rows[cut:]])).values()
    assert order[place] == find_winner(states)
