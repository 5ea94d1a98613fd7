"""Staged rows to canonical entities: the result of each map, and that every row is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include import canonical
from include.contract import (
    BOOLEAN,
    INTEGER,
    MONEY,
    STRING,
    TIMESTAMP,
    Basic,
    Beside,
    Budget,
    EntityMap,
    Table,
    Vendor,
    arrow,
    column,
    constant,
    derived,
)
from include.errors import DataQualityError, FatalError
from include.staging.files import PartWriter
from include.staging.partitions import FAULTS, Manifest, Staging
from include.staging.reference import partition_path
from include.transform import entities
from include.transform.entities import INCOMPLETE
from tests.firm_keys import KEYRING
from tests.lives import LIVED, find_winner, states_of

DAY = date(2026, 11, 20)
HOLDINGS = Table(
    "holdings",
    "holdings",
    ("holding_id",),
    (
        column("holding_id", "id", INTEGER),
        column("account_id", "account", INTEGER),
        column("fund", "fund", STRING),
        column("worth_usd", "worth", MONEY),
    ),
)
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


FUNDS = Table(
    "funds",
    "funds",
    ("fund",),
    (column("fund", "name", STRING), column("owner", "owner", STRING), column("price_usd", "price", MONEY)),
)
STATES = Table(
    "states", "states", ("state_id",),
    (
        column("state_id", "id", INTEGER), column("life", "life", STRING), column("is_final", "final", BOOLEAN),
        column("reopened_at", "reopened", TIMESTAMP), column("changed_at", "changed", TIMESTAMP),
    ),
)  # fmt: skip
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


def vendor(*maps: EntityMap) -> Vendor:
    return Vendor("sample", "Sample", "", Basic(), (FUNDS, HOLDINGS, STATES), maps, "0 6 * * *", Budget(60))


class Staged:
    """A staged and validated partition, in parts."""

    def __init__(
        self,
        root: Path,
        *parts: Iterable[tuple[Any, ...]],
        refused: Iterable[tuple[int, int]] = (),
        fault: str = "price_usd",
        table: Table = HOLDINGS,
    ) -> None:
        staging, path = Staging(str(root), KEYRING.staging), partition_path("sample", table.name, DAY, "pull")
        writer = PartWriter(staging.folder(path), arrow.schema({c.name: c.type for c in table.columns}))
        for rows in parts:
            named = [dict(zip(writer.schema.names, row, strict=True)) for row in rows]
            writer.write(pa.Table.from_pylist(named, schema=writer.schema))
            writer.flush()
        manifest = Manifest(
            "sample", table.name, DAY, "pull", "current", datetime.now(UTC), "v1", "", None, 0, 0, 0, 0, None, (),
            tuple(writer.parts),
        )  # fmt: skip
        self.partition = staging.seal(manifest)
        faults = [
            {"part": f"part-{part:05d}.parquet", "row_number": row, "expectations": [f"expect_x({fault})"]}
            for part, row in refused
        ]
        self.partition.folder.write("dead.jsonl", b"")
        self.partition.write_faults(pa.Table.from_pylist(faults, schema=FAULTS))

    def transform(self, *maps: EntityMap, **beside: Staged) -> list[entities.Produced]:
        partitions = {name: other.partition for name, other in beside.items()}
        return entities.transform(vendor(*maps), self.partition, partitions.get)

    def rows(self, entity: str) -> list[dict[str, Any]]:
        return [row for part in self.canonical(entity).rows() for row in part.to_pylist()]

    def canonical(self, entity: str) -> entities.Canonical:
        return entities.Canonical(self.partition.folder, entity)


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
    assert staged.canonical("position").list_distinct("account_key").to_pylist() == []


def test_what_was_made_can_be_read_again(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "a", Decimal("2.50")), (2, 1, "a", None)])
    for result in staged.transform(POSITION, SECURITY):
        assert staged.canonical(result.entity).result == result


def test_keys_of_all_parts_are_reported_once(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 8, "a", None), (2, None, "a", None)], [(3, 8, "a", None), (4, 9, "a", None)])
    staged.transform(POSITION)
    keys = staged.canonical("position").list_distinct("account_key")
    assert sorted(keys.to_pylist()) == ["8", "9"]


def test_a_part_that_was_altered_is_not_used(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "a", None)])
    staged.transform(POSITION)
    [part] = staged.canonical("position").result.parts
    staged.partition.folder.below("canonical/position").write_raw(part.name, b"altered")
    with pytest.raises(FatalError, match="altered"):
        staged.rows("position")


ROWS = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from("abc"), st.one_of(st.none(), st.decimals(-9, 9, places=2))),
    max_size=12,
)


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


# --- rows joined with other tables ---


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
