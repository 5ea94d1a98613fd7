"""The text of a row's key, for every type that a key may have."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.contract import DATE, INTEGER, MONEY, STRING, TIMESTAMP, Table, column
from include.contract.arrow import arrow_type
from include.extract.page import PageReader
from include.sensitive import Redactor
from include.staging.row_key import format_keys
from include.vendors import VENDORS

TEXTS = st.text(st.sampled_from("ab:\\|,é "), min_size=1, max_size=4)
VALUES = {
    STRING: TEXTS.filter(str.strip),  # a blank key is a dead letter
    INTEGER: st.integers(-(2**63), 2**63 - 1),
    DATE: st.dates(date(1990, 1, 1), date(2100, 1, 1)),
    TIMESTAMP: st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
}


def test_every_type_of_a_declared_key_is_tried() -> None:
    types = {table.named(name).type for vendor in VENDORS for table in vendor.tables for name in table.key}
    assert types <= VALUES.keys()


def write(value: Any) -> Any:
    """Write a value as a vendor does in JSON."""
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize("kinds", [(kind,) for kind in VALUES] + [(STRING, kind) for kind in VALUES])
@settings(deadline=None)
@given(data=st.data())
def test_row_has_one_key_whether_it_is_good_or_unreadable(kinds: tuple[str, ...], data: st.DataObject) -> None:
    names = [f"key_{n}" for n in range(len(kinds))]
    keys = [column(name, name, kind, required=True) for name, kind in zip(names, kinds, strict=True)]
    table = Table("rows", "rows", tuple(names), (*keys, column("amount_usd", "amount", MONEY)))
    row = {name: write(data.draw(VALUES[kind])) for name, kind in zip(names, kinds, strict=True)}
    page = PageReader(table, Redactor(b"only for tests")).read(
        orjson.dumps([row | {"amount": 1}, row | {"amount": "unreadable"}])
    )
    [dead] = page.dead
    assert format_keys(page.rows, table.key).to_pylist() == [dead.key]


@example([("a:", "b"), ("a", ":b")])
@example([("a\\", ":b"), ("a", "\\:b"), ("a\\:", "b")])
@example([("a\\", "b:c"), ("a:b\\", "c")])
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1))
def test_different_keys_have_different_texts(keys: list[tuple[str, str]]) -> None:
    rows = pa.table({"a": [a for a, _ in keys], "b": [b for _, b in keys]})
    assert len(set(format_keys(rows, ("a", "b")).to_pylist())) == len(set(keys))


def test_key_of_one_column_is_its_value() -> None:
    rows = pa.table(
        {
            "text": ["a:b\\c"],
            "at": pa.array([datetime(2026, 11, 20, 21, 30, tzinfo=UTC)], arrow_type(TIMESTAMP)),
            "amount": [Decimal("1.50")],
        }
    )
    assert [format_keys(rows, (name,))[0].as_py() for name in rows.column_names] == [
        "a:b\\c",
        "2026-11-20 21:30:00.000000Z",
        "1.50",
    ]
