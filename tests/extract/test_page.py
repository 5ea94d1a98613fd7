"""A page's text to typed rows: exact numbers, nothing lost, only bad rows die."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import VendorUnavailable
from include.extract.page import PageReader
from tests.extract.reading import REDACTOR, SSN, TABLE, new_reader, read, row, values

# --- numbers and texts ---

DIGITS = st.integers(-(10**20) + 1, 10**20 - 1)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            DIGITS.map(lambda n: Decimal(n).scaleb(-2)),
            st.none() | DIGITS.map(lambda n: Decimal(n).scaleb(-8)),
            st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
            st.none() | st.booleans(),
        ),
        max_size=8,
    )
)
def test_every_value_comes_back_as_it_was_written(rows: list[tuple[Any, ...]]) -> None:
    texts = [
        f'{{"id":{n},"amount":{amount},"units":{"null" if units is None else f"{units:f}"},'
        f'"fullName":{json.dumps(name)},"isActive":{json.dumps(active)}}}'
        for n, amount, units, name, active in rows
    ]
    page = read("[" + ",".join(texts) + "]")
    columns = page.rows.select(["row_id", "amount_usd", "quantity", "name", "is_active"]).to_pylist()
    assert [tuple(each.values()) for each in columns] == rows
    assert page.dead == ()


def test_quantity_written_with_an_exponent_is_exact() -> None:
    assert values(read('[{"id":1,"amount":1,"units":1.5E3},{"id":2,"amount":1,"units":1e-8}]'), "quantity") == [
        Decimal(1500), Decimal("0.00000001"),
    ]  # fmt: skip


def test_surplus_digits_are_rounded_half_even_where_declared() -> None:
    page = read('[{"id":1,"amount":0.30000000000000004},{"id":2,"amount":2.345},{"id":3,"amount":-2.355},'
                '{"id":4,"amount":1.2345678901234567e-05}]')  # fmt: skip
    assert values(page, "amount_usd") == [Decimal(t) for t in ("0.30", "2.34", "-2.36", "0.00")]


FULL = st.builds(
    lambda cents, shift, surplus, sign: f"{sign}{(cents + shift) // 100}.{(cents + shift) % 100:02d}{surplus}",
    st.one_of(st.integers(1, 2**28).map(lambda k: k << 32), st.sampled_from([2**63, 2**64, 2**64 + 2**32])),
    st.integers(-2, 2),
    st.sampled_from(["", "0", "5", "50000000000000001", "999999", "49999999999999999999", "12345678901234"]),
    st.sampled_from(["", "-"]),
)


@settings(deadline=None)
@given(st.lists(FULL, min_size=1, max_size=30))
def test_money_is_rounded_exactly_where_arrow_divides_wrongly(texts: list[str]) -> None:
    """A 32-bit digit of the cents is full; Arrow rounds these wrongly from some scales (16, 20), not from ours."""
    rows = ",".join(f'{{"id":{n},"amount":{text}}}' for n, text in enumerate(texts))
    assert values(read(f"[{rows}]"), "amount_usd") == [round(Decimal(text), 2) for text in texts]


def test_number_with_many_digits_is_kept_whole_where_its_row_dies() -> None:
    [dead] = read('[{"id":1,"amount":0.30000000000000004,"dob":"N/A"}]').dead
    assert dead.reasons == ("dob: not date",)
    assert '"amount":0.30000000000000004' in dead.raw


def test_surplus_digits_kill_the_row_where_no_rounding_is_declared() -> None:
    page = read('[{"id":1,"amount":1,"units":1.123456789},{"id":2,"amount":1,"units":1.12345678}]')
    assert values(page, "row_id") == [2]
    assert [(dead.key, dead.reasons) for dead in page.dead] == [("1", ("units: 9 decimals, 8 declared",))]


@pytest.mark.parametrize(
    ("number", "shape"),
    [
        ("9" * 40, ""), ("NaN", ": AaA"), ("-Infinity", ": -Aaaaaaaa"), ("1e400", ""), ("1e-" + "9" * 20, ": 9a-99999999999999999999"), ("true", ""), ('"1.234,56"', ": 9.999,99"),
        ('""', ": blank"), ("{}", ""), ("[1]", ""), (f"{'9' * 40}.{'1' * 20}", ""), ('"+1"', ": +9"), ('"1E2"', ": 9A9"),
    ],
)  # fmt: skip
def test_number_that_is_none_kills_its_row_alone(number: str, shape: str) -> None:
    page = read(f'[{{"id":1,"amount":{number}}},{{"id":2,"amount":2.50}}]')
    assert values(page, "row_id") == [2]
    assert [(dead.key, dead.reasons) for dead in page.dead] == [("1", (f"amount: not decimal(20,2){shape}",))]


@pytest.mark.parametrize("key", ["", "  ", "\u00a0"])
def test_row_with_a_blank_key_is_dead(key: str) -> None:
    table = replace(TABLE, key=("name",))
    reader = PageReader(table, REDACTOR, vendor="testbank")
    page = reader.read(json.dumps([row(1, fullName=key), row(2, fullName="x")]).encode())
    assert values(page, "name") == ["x"]
    assert [(dead.key, dead.reasons) for dead in page.dead] == [(None, ("fullName: not a key",))]
    both = PageReader(replace(TABLE, key=("row_id", "name")), REDACTOR, vendor="testbank")
    assert values(both.read(json.dumps([row(1, fullName=key)]).encode()), "name") == [key]


@pytest.mark.parametrize("number", ["1e-99999999", "1E-0099999999", f"0.{'0' * 200}1"])
def test_number_with_more_decimals_than_arrow_can_read_crashes_no_process(number: str) -> None:
    page = read(f'[{{"id":1,"amount":1,"units":{number}}},{{"id":2,"amount":{number},"units":1.{"0" * 200}}}]')
    assert (values(page, "row_id"), values(page, "amount_usd"), values(page, "quantity")) == ([2], [0], [1])
    assert page.dead[0].reasons[0].endswith(" decimals, 8 declared")


@pytest.mark.parametrize("text", [r"\u0000", r"a\u0000b"])
def test_text_that_no_database_takes_kills_its_row(text: str) -> None:
    for field in ("fullName", "ssn"):
        page = read(f'[{{"id":1,"amount":1,"{field}":"{text}"}},{{"id":2,"amount":2}}]')
        assert values(page, "row_id") == [2]
        assert page.dead[0].reasons == (f"{field}: not string",)


def test_half_a_surrogate_pair_kills_its_row_alone() -> None:
    page = read(r'[{"id":1,"amount":1,"fullName":"\ud800"},{"id":2,"amount":2}]')
    assert values(page, "row_id") == [2]
    assert json.loads(page.dead[0].line())["row"] == {"id": 1, "amount": 1, "fullName": "?"}


# --- sensitive and ignored fields ---


def test_sensitive_value_of_another_type_is_not_kept_in_clear() -> None:
    page = read([row(1, ssn={"number": SSN}), row(2, ssn=123456789), row(3, ssn=[SSN])])
    for dead in page.dead:
        assert SSN not in dead.raw
        assert "123456789" not in dead.raw
    assert [dead.reasons for dead in page.dead] == [("ssn: not string",)] * 3


def test_row_sent_again_as_it_was_kept_has_the_same_hash() -> None:
    dead = read([row(ssn=SSN, dob="N/A")]).dead[0]
    mended = json.loads(dead.raw) | {"dob": "1970-01-01"}
    assert values(read([mended]), "tax_id_hash") == [REDACTOR.split(SSN)[0]]


@pytest.mark.parametrize("value", ["text", {"an": "object"}, [1], True, 1.5, "NaN"])
def test_ignored_field_of_another_type_kills_no_row(value: Any) -> None:
    page = read([row(1, leftBehind=value, oldSsn=value), row(2)])
    assert values(page, "row_id") == [1, 2]
    assert (page.dead, page.undeclared) == ((), frozenset())


def test_undeclared_fields_are_reported_and_kill_no_row() -> None:
    page = read([row(1, brandNew=1), row(2, another={"x": 1}), row(3)])
    assert values(page, "row_id") == [1, 2, 3]
    assert (page.dead, page.undeclared) == ((), {"brandNew", "another"})


def test_names_of_undeclared_fields_are_reported_as_valid_database_text() -> None:
    page = read([{"id": 1, "amount": 1, "half\ud800": 1, "nul\0": 1, "y" * 5_000: 1}])
    assert page.undeclared == {"half?", "nul?", "y" * 200}


def test_declared_fields_missing_from_all_pages_are_reported() -> None:
    reader = new_reader()
    reader.read(json.dumps([row(fullName="x", isActive=None, ssn=SSN)]).encode())
    assert reader.unseen == {"units", "dob", "editedDate"}
    reader.read(json.dumps([row(units=None, dob=None, editedDate=None)]).encode())
    assert reader.unseen == set()


def test_value_that_reads_like_a_field_does_not_hide_that_the_field_is_missing() -> None:
    reader = new_reader()
    reader.read(json.dumps([row(fullName="units", oldSsn='"dob": 1')]).encode())
    assert reader.unseen == {"units", "dob", "editedDate", "isActive", "ssn"}
    reader.read(b'[{"id": 1, "amount": 2, "units"\n : null}]')
    assert reader.unseen == {"dob", "editedDate", "isActive", "ssn"}


# --- bad rows ---


def test_missing_required_field_kills_its_row() -> None:
    page = read([{"id": 1}, {"id": 2, "amount": None}, row(3)])
    assert values(page, "row_id") == [3]
    assert [(d.key, d.reasons) for d in page.dead] == [("1", ("amount: missing",)), ("2", ("amount: missing",))]


@pytest.mark.parametrize("key", ["null", '"N/A"', "true", "1.5", "9" * 40])
def test_dead_row_without_a_readable_key_has_none(key: str) -> None:
    page = read(f'[{{"id":{key},"amount":1}},{{"id":2,"amount":1}}]')
    assert values(page, "row_id") == [2]
    assert page.dead[0].key is None
    assert page.dead[0].reasons[0].startswith("id: ")


def test_every_bad_field_of_a_row_is_named() -> None:
    [dead] = read([row(7, amount="x", units="y", dob="z")]).dead
    assert dead.reasons == ("amount: not decimal(20,2): a", "units: not decimal(28,8): a", "dob: not date")


def test_key_written_twice_in_a_row_kills_that_row_alone() -> None:
    page = read('[{"id":1,"amount":1,"fullName":"a","fullName":"b"},{"id":2,"amount":2,"fullName":"c"}]')
    assert page.rows.select(["row_id", "name"]).to_pylist() == [{"row_id": 2, "name": "c"}]
    assert [dead.key for dead in page.dead] == ["1"]


def test_what_is_no_object_is_dead_and_its_content_is_not_kept() -> None:
    page = read(f'[1,"{SSN}",["{SSN}"],null,{{"id":2,"amount":1}}]')
    assert values(page, "row_id") == [2]
    assert [(d.key, d.reasons, d.raw) for d in page.dead] == [(None, ("the row is not an object",), "null")] * 4


BAD = {
    "amount": ['"N/A"', '"1.234,56"', "true", "[]", "9" * 40],
    "units": ['"x"', "1.123456789", "{}"],
    "fullName": ["1", "true", '{"unexpected":"object"}', r'"\u0000"'],
    "isActive": ['"yes"', "1"],
    "dob": ['"2026-02-30"', '"secret words"'],
    "editedDate": ['"soon"', "5"],
    "ssn": ["{}", "[1]"],
}
POISON = [(field, text) for field, texts in BAD.items() for text in texts]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.sampled_from(POISON), max_size=60))
def test_exactly_the_poisoned_rows_die(poison: list[tuple[str, str] | None]) -> None:
    """Each good cell is unlike the others, so a value that is stored in the wrong place is detected."""
    texts = []
    for number, bad in enumerate(poison):
        cells = {
            "id": str(number), "amount": "12.30", "units": "1.50000000", "fullName": '"A Person"',
            "isActive": "true", "dob": '"1970-01-01"', "editedDate": '"2026-11-20T10:00:00Z"', "ssn": f'"{SSN}"',
            "leftBehind": "4711", "oldSsn": '"987-65-4321"',
        }  # fmt: skip
        cells |= {bad[0]: bad[1]} if bad else {}
        texts.append("{" + ",".join(f'"{name}":{text}' for name, text in cells.items()) + "}")
    page = read("[" + ", ".join(texts) + "]")
    dead = [number for number, bad in enumerate(poison) if bad]
    assert values(page, "row_id") == [number for number, bad in enumerate(poison) if not bad]
    assert [d.key for d in page.dead] == [str(number) for number in dead]
    for each, number in zip(page.dead, dead, strict=True):
        field, text = poison[number]  # type: ignore[misc]
        [reason] = each.reasons
        assert reason.startswith(f"{field}: ")
        assert text.strip('"') in ("1", "5", "x") or text.strip('"') not in reason
        assert SSN not in each.raw
        assert not {"987-65-4321", "4711"} & set(each.raw.split('"'))
        assert '"leftBehind"' not in each.raw
        raw = json.loads(each.raw, parse_float=Decimal, parse_int=Decimal)
        if field == "amount":
            assert raw["amount"] == json.loads(text, parse_int=Decimal)
        else:
            assert '"amount":12.30' in each.raw
        if field != "units":
            assert '"units":1.50000000' in each.raw
        assert json.loads(each.line())["key"] == str(number)


# --- bodies that are not pages ---


@pytest.mark.parametrize(
    "body",
    [
        "", " ", "null", "1", '"text"', '{"message":"no"}', "<html>Back soon</html>", "[",
        '[{"id":1,"amount":1}', '[{"id":1,"amount":1},{"id"', '[{"id":1,"amount":1}]<html>', "[" * 100_000,
    ],
    ids=lambda body: body[:24] or "empty",
)  # fmt: skip
def test_response_without_an_array_is_requested_again(body: str) -> None:
    with pytest.raises(VendorUnavailable, match=r"not a JSON array.*vendor=testbank table=rows"):
        read(body)


def test_undecodable_bytes_are_requested_again() -> None:
    with pytest.raises(VendorUnavailable):
        new_reader().read(b'[{"id":1,"amount":"\xff\xfe"}]')


@pytest.mark.parametrize("body", ["[]", " [ ] \n", '[\n {"id": 1,\n "amount": 2}\n]\n'])
def test_layout_does_not_matter(body: str) -> None:
    assert read(body).rows.num_rows == body.count("id")


def test_rows_of_a_page_keep_their_values_while_the_next_page_is_read() -> None:
    """All pages of a thread are read in the same memory."""
    reader, names = new_reader(), ("a" * 100, "b" * 100)
    pages = [
        reader.read(json.dumps([{"id": n, "amount": n, "fullName": name}] * 50).encode())
        for n, name in enumerate(names)
    ]
    for n, (page, name) in enumerate(zip(pages, names, strict=True)):
        assert set(values(page, "name")) == {name}
        assert set(values(page, "row_id")) == {n}
        assert set(values(page, "amount_usd")) == {Decimal(n)}
