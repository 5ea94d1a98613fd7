"""Staged rows to canonical entities: what each map makes, and that every row is counted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include import arrow, canonical, transform
from include.contract import (
    INTEGER,
    MONEY,
    STRING,
    Budget,
    EntityMap,
    Table,
    Vendor,
    column,
    constant,
    derived,
)
from include.errors import FatalError
from include.staging import Manifest, PartWriter, Staging
from include.validation.rows import FAULTS, write_faults
from include.vendors import VENDORS

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


def vendor(*maps: EntityMap) -> Vendor:
    return Vendor("sample", "Sample", "", "session_token", (HOLDINGS,), maps, "0 6 * * *", Budget(60))


class Staged:
    """A staged and validated partition, in parts."""

    def __init__(self, root: Path, *parts: Iterable[tuple[Any, ...]], refused: Iterable[tuple[int, int]] = ()) -> None:
        self.staging, self.path = Staging(str(root)), "sample/holdings/2026-11-20/pull"
        writer = PartWriter(self.staging.folder(self.path), arrow.schema({c.name: c.type for c in HOLDINGS.columns}))
        for rows in parts:
            named = [dict(zip(writer.schema.names, row, strict=True)) for row in rows]
            writer.write(pa.Table.from_pylist(named, schema=writer.schema))
            writer.flush()
        manifest = Manifest(
            "sample", "holdings", DAY, "pull", "present", datetime.now(UTC), "v1", "", None, 0, 0, 0, 0, None, (),
            tuple(writer.parts),
        )  # fmt: skip
        self.staging.seal(self.path, manifest)
        faults = [{"part": f"part-{part:05d}.parquet", "row_number": row} for part, row in refused]
        write_faults(self.staging, self.path, pa.Table.from_pylist(faults, schema=FAULTS))

    def transform(self, *maps: EntityMap) -> list[transform.Produced]:
        return transform.transform(vendor(*maps), self.path, self.staging)

    def rows(self, entity: str) -> list[dict[str, Any]]:
        return [row for part in transform.rows(self.staging, self.path, entity) for row in part.to_pylist()]


def test_columns_take_our_names_types_and_the_business_date(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(7, 3, "f1", Decimal("1.50"))])
    [made] = staged.transform(POSITION)
    [row] = staged.rows("position")
    assert list(row) == list(canonical.named("position").columns)
    assert row == dict.fromkeys(row) | {
        "position_key": "7", "business_date": DAY, "account_key": "3", "security_key": "f1",
        "market_value_usd": Decimal("1.50"), "is_cash": False,
    }  # fmt: skip
    assert (made.staged, made.produced, made.money_in, made.money) == (1, 1, Decimal("1.50"), Decimal("1.50"))


def test_what_several_rows_describe_is_made_once_by_the_first(tmp_path: Path) -> None:
    staged = Staged(
        tmp_path, [(1, 1, "b", None), (2, 1, "a", None), (3, 1, "b", None)], [(4, 1, "a", None), (5, 1, "c", None)]
    )
    [made] = staged.transform(SECURITY)
    assert [(row["security_key"], row["name"]) for row in staged.rows("security")] == [
        ("b", "B"),
        ("a", "A"),
        ("c", "C"),
    ]
    assert (made.staged, made.produced, made.merged) == (5, 3, 2)


def test_rows_that_validation_refused_are_left_out(tmp_path: Path) -> None:
    staged = Staged(
        tmp_path,
        [(1, 1, "a", Decimal(1)), (2, 1, "a", Decimal(2))],
        [(3, 1, "a", Decimal(4))],
        refused=[(0, 0), (1, 0)],
    )
    [made] = staged.transform(POSITION)
    assert [row["position_key"] for row in staged.rows("position")] == ["2"]
    assert (made.staged, made.money) == (1, Decimal(2))


def test_rows_that_a_rule_drops_are_counted_under_its_name(tmp_path: Path) -> None:
    rules = {
        "without a fund": derived(pc.is_null, "fund"),
        "worth nothing": derived(lambda worth: pc.equal(worth, pa.scalar(Decimal("0.00"))), "worth_usd"),
    }
    staged = Staged(
        tmp_path, [(1, 1, None, Decimal(0)), (2, 1, "a", Decimal(0)), (3, 1, "a", None), (4, 1, "a", Decimal(1))]
    )
    [made] = staged.transform(replace(POSITION, dropped=rules))
    # The first rule takes a row that both would; what a rule can't answer stays.
    assert dict(made.dropped) == {"without a fund": 1, "worth nothing": 1}
    assert [row["position_key"] for row in staged.rows("position")] == ["3", "4"]


def test_money_that_is_derived_has_no_sum_to_compare_with(tmp_path: Path) -> None:
    negative = replace(POSITION, columns=POSITION.columns | {"market_value_usd": derived(pc.negate, "worth_usd")})
    [made] = Staged(tmp_path, [(1, 1, "a", Decimal("2.50"))]).transform(negative)
    assert (made.money_in, made.money) == (None, Decimal("-2.50"))


def test_a_partition_without_rows_gives_none(tmp_path: Path) -> None:
    staged = Staged(tmp_path)
    assert [(made.produced, made.parts) for made in staged.transform(POSITION, SECURITY)] == [(0, ()), (0, ())]
    assert staged.rows("position") == []
    assert transform.distinct(staged.staging, staged.path, "position", "account_key").num_rows == 0


def test_what_was_made_can_be_read_again(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "a", Decimal("2.50")), (2, 1, "a", None)])
    for made in staged.transform(POSITION, SECURITY):
        assert transform.produced(staged.staging, staged.path, made.entity) == made


def test_keys_of_all_parts_are_told_once(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 8, "a", None), (2, None, "a", None)], [(3, 8, "a", None), (4, 9, "a", None)])
    staged.transform(POSITION)
    keys = transform.distinct(staged.staging, staged.path, "position", "account_key")
    assert sorted(keys.column("key").to_pylist()) == ["8", "9"]


def test_a_part_that_was_altered_is_not_used(tmp_path: Path) -> None:
    staged = Staged(tmp_path, [(1, 1, "a", None)])
    staged.transform(POSITION)
    staged.staging.folder(f"{staged.path}/canonical/position").write("part-00000.parquet", b"altered")
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
    for made in (first := staged.transform(odd, SECURITY)):
        assert made.staged == len(places) - len(refused)
        assert made.staged == made.produced + made.merged + sum(made.dropped.values())
        assert len(staged.rows(made.entity)) == made.produced
    good = [row for n, part in enumerate(filled) for m, row in enumerate(part) if (n, m) not in refused]
    assert first[0].money_in == sum((row[3] or Decimal(0) for row in good), Decimal(0))
    assert first[0].money == sum((row[3] or Decimal(0) for row in good if row[1] != 9), Decimal(0))
    assert json.dumps([made.parts for made in staged.transform(odd, SECURITY)], default=str) == json.dumps(
        [made.parts for made in first], default=str
    )


@pytest.mark.parametrize("declared", VENDORS, ids=lambda v: v.name)
def test_every_map_names_columns_that_exist(declared: Vendor) -> None:
    for entity_map in declared.maps:
        entity = canonical.named(entity_map.entity)
        assert entity_map.columns.keys() <= entity.columns.keys()
        assert {entity.key, *entity.references} & entity_map.columns.keys() >= {entity.key}
        table = declared.table(entity_map.table)
        staged = {
            n
            for c in table.columns
            for n in ([f"{c.name}_hash", f"{c.name}_last4"] if c.kind == "sensitive" else [c.name])
        }
        for source in (*entity_map.columns.values(), *entity_map.dropped.values()):
            assert set((source,) if isinstance(source, str) else getattr(source, "columns", ())) <= staged
