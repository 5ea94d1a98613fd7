"""Staged rows to canonical entities: the result of each map, and that every row is counted."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include import canonical
from include.contract import EntityMap, constant, derived
from include.errors import FatalError
from tests.transform.staged import DAY, ROWS, Staged

POSITION = EntityMap(
    "position",
    "holdings",
    {
        "position_key": "holding_id",
        "account_key": "account_id",
        "security_key": "fund",
        "market_value_usd": "worth_usd",
        "is_cash": constant(False),
    },
)
SECURITY = EntityMap(
    "security", "holdings", {"security_key": "fund", "name": derived(pc.utf8_upper, "fund")}, merged=True
)


def test_columns_take_our_names_types_and_the_business_date(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(7, 3, "f1", Decimal("1.50"))])
    [result] = staged.transform(POSITION)
    [row] = staged.rows("position")
    assert list(row) == list(canonical.named("position").columns)
    assert row == dict.fromkeys(row) | {
        "position_key": "7", "business_date": DAY, "account_key": "3", "security_key": "f1",
        "market_value_usd": Decimal("1.50"), "is_cash": False,
    }  # fmt: skip
    assert (result.staged, result.produced, result.money_in, result.money) == (1, 1, Decimal("1.50"), Decimal("1.50"))


def test_what_several_rows_describe_is_made_once_by_the_first(tmp_path: Path) -> None:
    staged = Staged(
        tmp_path,
        [(1, 1, "b", None), (2, 1, "a", None), (3, 1, "b", None)],
        [(4, 1, "a", None), (5, 1, "c", None)],
        [(6, 1, "b", None)],
    )
    [result] = staged.transform(SECURITY)
    assert [(row["security_key"], row["name"]) for row in staged.rows("security")] == [
        ("b", "B"),
        ("a", "A"),
        ("c", "C"),
    ]
    assert (result.staged, result.produced, result.merged) == (6, 3, 3)


def test_late_attempt_does_not_disturb_a_reader_of_the_first(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "b", None)], [(2, 1, "a", None)])
    staged.transform(POSITION)
    reading = staged.canonical("position").rows()
    first = next(reading).to_pylist()
    staged.transform(POSITION)
    assert [*first, *(row for part in reading for row in part.to_pylist())] == staged.rows("position")


def test_rows_that_validation_refused_are_left_out(tmp_path: Path) -> None:
    staged = Staged(
        tmp_path,
        [(1, 1, "a", Decimal(1)), (2, 1, "a", Decimal(2))],
        [(3, 1, "a", Decimal(4))],
        refused=[(0, 0), (1, 0)],
    )
    [result] = staged.transform(POSITION)
    assert [row["position_key"] for row in staged.rows("position")] == ["2"]
    assert (result.staged, result.money) == (1, Decimal(2))


def test_rows_that_a_rule_drops_are_counted_under_its_name(tmp_path: Path) -> None:
    rules = {
        "without a fund": derived(pc.is_null, "fund"),
        "worth nothing": derived(lambda worth: pc.equal(worth, pa.scalar(Decimal("0.00"))), "worth_usd"),
    }
    staged = Staged(
        tmp_path, [(1, 1, None, Decimal(0)), (2, 1, "a", Decimal(0)), (3, 1, "a", None), (4, 1, "a", Decimal(1))]
    )
    [result] = staged.transform(replace(POSITION, dropped=rules))
    # If both rules match a row, the first counts it; a row for which a rule is null stays.
    assert dict(result.dropped) == {"without a fund": 1, "worth nothing": 1}
    assert [row["position_key"] for row in staged.rows("position")] == ["3", "4"]


def test_money_that_is_derived_is_summed_as_it_is_read_of_what_went_in(tmp_path: Path) -> None:
    negative = replace(
        POSITION,
        columns=POSITION.columns | {"market_value_usd": derived(pc.negate, "worth_usd")},
        dropped={"account 9": derived(lambda a: pc.equal(a, 9), "account_id")},
    )
    [result] = Staged(
        tmp_path, [(1, 1, "a", Decimal("2.50")), (2, 9, "a", Decimal("0.10")), (3, 1, "a", None)]
    ).transform(negative)
    assert (result.money_in, result.money_dropped, result.money) == (
        Decimal("-2.60"),
        Decimal("-0.10"),
        Decimal("-2.50"),
    )


def test_a_partition_without_rows_gives_none(tmp_path: Path) -> None:
    staged = Staged(tmp_path)
    assert [(result.produced, result.parts) for result in staged.transform(POSITION, SECURITY)] == [(0, ()), (0, ())]
    assert staged.rows("position") == []
    assert staged.canonical("position").sort_keys("account_key").distinct.to_pylist() == []


def test_what_was_made_can_be_read_again(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "a", Decimal("2.50")), (2, 1, "a", None)])
    for result in staged.transform(POSITION, SECURITY):
        assert staged.canonical(result.entity).result == result


def test_keys_of_all_parts_are_reported_once(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 8, "a", None), (2, None, "a", None)], [(3, 8, "a", None), (4, 9, "a", None)])
    staged.transform(POSITION)
    assert staged.canonical("position").sort_keys("account_key").distinct.to_pylist() == ["8", "9"]


def test_a_part_that_was_altered_is_not_used(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "a", None)])
    staged.transform(POSITION)
    [part] = staged.canonical("position").result.parts
    staged.partition.folder.below("canonical/position").write_raw(part.name, b"altered")
    with pytest.raises(FatalError, match="altered"):
        staged.rows("position")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(parts=st.lists(ROWS, max_size=3), data=st.data())
def test_whatever_comes_adds_up_and_the_same_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Any], data: st.DataObject
) -> None:
    numbered = [[(100 * n + m, *row) for m, row in enumerate(part)] for n, part in enumerate(parts)]
    filled = [part for part in numbered if part]
    places = [(n, m) for n, part in enumerate(filled) for m in range(len(part))]
    refused = data.draw(st.sets(st.sampled_from(places))) if places else set()
    staged = Staged(tmp_path_factory.mktemp("staged"), *filled, refused=refused)
    odd = replace(POSITION, dropped={"account 9": derived(lambda a: pc.equal(a, 9), "account_id")})
    for result in (first := staged.transform(odd, SECURITY)):
        assert result.staged == len(places) - len(refused)
        assert result.staged == result.produced + result.merged + sum(result.dropped.values())
        assert len(staged.rows(result.entity)) == result.produced
    good = [row for n, part in enumerate(filled) for m, row in enumerate(part) if (n, m) not in refused]
    whole, loaded = (
        sum((row[3] or Decimal(0) for row in good if row[1] not in gone), Decimal(0)) for gone in ((), (9,))
    )
    assert (first[0].money_in, first[0].money_dropped, first[0].money) == (whole, whole - loaded, loaded)
    rows = {result.entity: staged.rows(result.entity) for result in first}
    assert [replace(result, parts=()) for result in staged.transform(odd, SECURITY)] == [
        replace(result, parts=()) for result in first
    ]
    assert {entity: staged.rows(entity) for entity in rows} == rows


# --- rows that are split ---


def each_letter(rows: pa.Table) -> pa.Table:
    """Split a row into one for each letter of its fund's name."""
    letters = [(n, row, letter) for n, row in enumerate(rows.to_pylist()) for letter in row["fund"] or ""]
    split = [row | {"row": n, "letter": letter} for n, row, letter in letters]
    return pa.Table.from_pylist(
        split, rows.schema.append(pa.field("letter", pa.string())).append(pa.field("row", pa.int64()))
    )


LETTERS = EntityMap(
    "position",
    "holdings",
    {"position_key": "letter", "account_key": "holding_id", "is_cash": constant(False)},
    split=each_letter,
    takes=("holding_id", "fund"),
)


def test_one_row_may_become_several(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "ab", None), (2, 1, "c", None)], [(3, 1, "de", None)])
    [result] = staged.transform(LETTERS)
    assert [(row["account_key"], row["position_key"]) for row in staged.rows("position")] == [
        ("1", "a"), ("1", "b"), ("2", "c"), ("3", "d"), ("3", "e"),
    ]  # fmt: skip
    assert (result.staged, result.split, result.produced) == (3, 2, 5)


def test_row_in_which_there_is_nothing_is_counted_as_dropped(tmp_path: Path) -> None:
    [result] = Staged(tmp_path, [(1, 1, "", None), (2, 1, None, None), (3, 1, "abc", None)]).transform(LETTERS)
    assert dict(result.dropped) == {"nothing in it": 2}
    assert (result.staged, result.split, result.produced) == (3, 2, 3)


def test_split_gets_the_columns_that_it_takes_and_no_others(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def look(rows: pa.Table) -> pa.Table:
        seen.append(rows.column_names)
        return each_letter(rows)

    Staged(tmp_path, [(1, 1, "a", Decimal(1))]).transform(replace(LETTERS, split=look))
    assert seen == [["holding_id", "fund"]]


def test_rule_drops_rows_that_a_split_made(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "abc", None), (2, 1, "", None)])
    [result] = staged.transform(
        replace(LETTERS, dropped={"a b": derived(lambda letter: pc.equal(letter, "b"), "letter")})
    )
    assert [row["position_key"] for row in staged.rows("position")] == ["a", "c"]
    assert dict(result.dropped) == {"nothing in it": 1, "a b": 1}
    assert result.staged + result.split == result.produced + result.merged + sum(result.dropped.values())
