"""Rows in an envelope, objects in rows and lists in fields become flat rows, digit by digit as they were written."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.contract import BOOLEAN, INTEGER, MONEY, STRING, Table, column
from include.errors import VendorUnavailable
from include.extract.exact_json import dump, load
from include.extract.flatten import flatten, read_envelope, unwrap
from include.extract.page import PageReader
from include.sensitive import Redactor

TABLE = Table("rows", "rows", ("row_id",), (column("row_id", "id", INTEGER, required=True),), rows="data")

NAMES = st.text("abcdef", min_size=1, max_size=3)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=8)
INTEGERS = st.integers(-(10**25), 10**25).map(lambda n: n if -(2**63) <= n < 2**63 else Decimal(n))
LEAVES = st.none() | st.booleans() | INTEGERS | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
)
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=4), max_size=4)


def flatten_body(body: bytes | str, **options: Any) -> Any:
    text = body if isinstance(body, bytes) else body.encode()
    return json.loads(flatten(text, "testbank", "rows", **options), parse_float=Decimal)


def leaves(row: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Flatten a row by an independent and plain implementation."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= leaves(value, f"{path}{name}.") if isinstance(value, dict) else {f"{path}{name}": value}
    return flat


# --- flat rows ---


@settings(deadline=None)
@given(ROWS)
def test_every_leaf_is_found_under_its_path_with_every_digit(rows: list[dict[str, Any]]) -> None:
    for row, flat in zip(rows, flatten_body(dump(rows)), strict=True):
        expected = leaves(row)
        assert flat.keys() == expected.keys()
        for name, value in expected.items():
            actual = load(flat[name]) if isinstance(value, list) else flat[name]
            assert actual == value
            assert isinstance(actual, bool) == isinstance(value, bool)


@pytest.mark.parametrize(
    "number",
    ["0.10", "100.00", "-0.0", "12345678901234567890.12345678", "9223372036854775808", "-9223372036854775809",
     "0.30000000000000004", "123456789012345678901234567890", "1E+400"],
)  # fmt: skip
@pytest.mark.parametrize("place", ['"value":%s', '"value":{"amount":%s}', '"value":[%s]', '"value":[{"amount":%s}]'])
def test_number_is_written_again_as_it_was(number: str, place: str) -> None:
    assert number.encode() in flatten(f'[{{"id":1,{place % number}}}]'.encode(), "testbank", "rows")


def test_flat_money_reaches_staging_exactly() -> None:
    table = Table(
        "rows", "rows", ("row_id",), has_objects=True,
        columns=(column("row_id", "id", INTEGER, required=True), column("amount_usd", "worth.amount", MONEY)),
    )  # fmt: skip
    body = b'[{"id":1,"worth":{"amount":90071992547409.93}},{"id":2,"worth":{"amount":0.10}}]'
    page = PageReader(table, Redactor(b"only for tests")).read(flatten(body, "testbank", "rows"))
    assert page.rows.column("amount_usd").to_pylist() == [Decimal("90071992547409.93"), Decimal("0.10")]
    assert page.dead == ()


def test_list_is_the_text_of_its_json() -> None:
    [row] = flatten_body('[{"links":[{"type":"a","weight":1.10},null,"é"],"none":[]}]')
    assert row == {"links": '[{"type":"a","weight":1.10},null,"é"]', "none": "[]"}


def test_null_object_is_null_under_its_own_name_and_an_empty_one_is_nothing() -> None:
    assert flatten_body('[{"id":1,"spouse":null,"address":{}}]') == [{"id": 1, "spouse": None}]


def test_one_object_is_one_row() -> None:
    assert flatten_body('{"id":1,"a":{"b":2}}') == [{"id": 1, "a.b": 2}]


def test_fields_are_added_to_every_row_and_none_of_the_vendor_s_replaces_them() -> None:
    rows = flatten_body('[{"id":1},{"id":2,"@requested_at":"yesterday"}]', added={"@requested_at": "now"})
    assert rows == [{"id": 1, "@requested_at": "now"}, {"id": 2, "@requested_at": "now"}]


def test_change_sees_flat_rows_with_what_was_added() -> None:
    seen: list[dict[str, Any]] = []

    def change(row: dict[str, Any]) -> None:
        seen.append(dict(row))
        row["a.number"] = "hidden"

    rows = flatten_body('[{"a":{"number":"4711"}}]', added={"@x": "1"}, change=change)
    assert seen == [{"a.number": "4711", "@x": "1"}]
    assert rows == [{"a.number": "hidden", "@x": "1"}]


def test_what_is_no_object_stays_and_dies_when_it_is_read() -> None:
    body = flatten(b'[{"id":1},7,null,["x"]]', "testbank", "rows")
    page = PageReader(TABLE, Redactor(b"only for tests")).read(body)
    assert page.rows.column("row_id").to_pylist() == [1]
    assert [dead.reasons for dead in page.dead] == [("the row is not an object",)] * 3


def test_nan_and_infinity_are_texts_that_no_number_column_takes() -> None:
    table = Table(
        "rows", "rows", ("row_id",), (column("row_id", "id", INTEGER, required=True), column("a_usd", "a", MONEY))
    )
    body = flatten(b'[{"id":1,"a":NaN},{"id":2,"a":-Infinity},{"id":3,"a":1.5}]', "testbank", "rows")
    page = PageReader(table, Redactor(b"only for tests")).read(body)
    assert page.rows.column("row_id").to_pylist() == [3]
    assert [dead.reasons for dead in page.dead] == [
        ("a: not decimal(20,2): AaA",),
        ("a: not decimal(20,2): -Aaaaaaaa",),
    ]


@pytest.mark.parametrize(
    "body", [b"", b"<html></html>", b'[{"id":1}', b'[{"id":1}] and more', b'[{"id":"\xff"}]', b"[" * 100_000]
)
def test_invalid_json_is_requested_again(body: bytes) -> None:
    with pytest.raises(VendorUnavailable, match=r"not JSON.*vendor=testbank table=rows"):
        flatten(body, "testbank", "rows")


def test_every_row_is_read_whether_its_flag_is_text_or_not() -> None:
    table = Table(
        "rows", "rows", ("row_id",), (column("row_id", "id", INTEGER, required=True), column("is_ok", "a.ok", BOOLEAN))
    )
    body = flatten(b'[{"id":1,"a":{"ok":true}},{"id":2,"a":{"ok":false}},{"id":3,"a":null}]', "testbank", "rows")
    assert PageReader(table, Redactor(b"x")).read(body).rows.column("is_ok").to_pylist() == [True, False, None]


# --- envelopes ---


def test_rows_are_cut_out_of_their_envelope_as_they_are_written() -> None:
    body = b' {"count": 2, "data" : [ {"id":1.10},\n{"id":2} ] , "next": null}'
    assert unwrap(TABLE, body, "testbank").strip() == b'[ {"id":1.10},\n{"id":2} ]'


def test_bare_array_needs_no_envelope() -> None:
    assert unwrap(TABLE, b' [{"id":1}]', "testbank") == b' [{"id":1}]'


def test_table_without_an_envelope_takes_the_response_as_it_is() -> None:
    plain = Table("rows", "rows", ("row_id",), TABLE.columns)
    assert unwrap(plain, b'{"data":[1]}', "testbank") == b'{"data":[1]}'


@pytest.mark.parametrize("body", [b'{"rows":[]}', b"{}"])
def test_envelope_without_rows_is_no_empty_table(body: bytes) -> None:
    with pytest.raises(VendorUnavailable, match=r"has no rows.*table=rows field=data"):
        unwrap(TABLE, body, "testbank")


@pytest.mark.parametrize("body", [b'{"data":[{"id":1}', b"<html>", b"7"])
def test_unreadable_envelope_is_requested_again(body: bytes) -> None:
    with pytest.raises(VendorUnavailable, match="not a JSON object"):
        read_envelope(body, "testbank", "rows")


@settings(deadline=None)
@given(ROWS, st.dictionaries(NAMES, VALUES, max_size=3))
def test_rows_in_an_envelope_are_those_without_one(rows: list[dict[str, Any]], beside: dict[str, Any]) -> None:
    body = dump(beside | {"data": rows})
    assert flatten_body(unwrap(TABLE, body, "testbank")) == flatten_body(dump(rows))


def test_texts_of_a_nested_list_come_to_staging_as_json() -> None:
    table = Table(
        "rows", "rows", ("row_id",), (column("row_id", "id", INTEGER, required=True), column("items", "items", STRING))
    )
    page = PageReader(table, Redactor(b"x")).read(flatten(b'[{"id":1,"items":[{"worth":0.10}]}]', "testbank", "rows"))
    assert page.rows.column("items").to_pylist() == ['[{"worth":0.10}]']


@pytest.mark.parametrize("depth", [300, 5000])
def test_too_deeply_nested_list_is_requested_again(depth: int) -> None:
    body = b'[{"id":1,"a":' + b"[" * depth + b"]" * depth + b"}]"
    with pytest.raises(VendorUnavailable, match="nested too deep"):
        flatten(body, "testbank", "rows")


def test_half_a_surrogate_pair_costs_no_row_but_its_own_character() -> None:
    assert flatten_body(r'[{"id":1,"a":{"name":"x\ud800y"},"b":["\udfff"]},{"id":2}]') == [
        {"id": 1, "a.name": "x?y", "b": '["?"]'}, {"id": 2},
    ]  # fmt: skip
