"""US notation is read exactly, any other is rejected; floating-point noise is rounded, surplus digits are not."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Callable
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.contract import INTEGER, MONEY, QUANTITY, Table, column
from include.extract.csv_page import CsvReader
from include.extract.number import read_texts, shape
from include.extract.page import DeadRow, Page, PageReader
from tests.extract.vendor_server import REDACTOR

TABLE = Table(
    "rows", "reports", ("row_id",),
    columns=(
        column("row_id", "id", INTEGER, required=True),
        column("amount_usd", "amount", MONEY, rounded=True),
        column("quantity", "units", QUANTITY),
    ),
)  # fmt: skip
FIELDS = {"amount": "amount_usd", "units": "quantity"}
Read = dict[int, Decimal]
Reader = Callable[[str, list[str]], list[Page]]


def read_report(field: str, texts: list[str]) -> list[Page]:
    file = io.StringIO()
    csv.writer(file).writerows([["id", field], *enumerate(texts)])
    return list(CsvReader(TABLE, REDACTOR).read_file(file.getvalue().encode()))


def read_json(field: str, texts: list[str]) -> list[Page]:
    return [PageReader(TABLE, REDACTOR).read(json.dumps([{"id": n, field: t} for n, t in enumerate(texts)]).encode())]


def values(pages: list[Page], field: str) -> Read:
    """Return the value of each good row, by its id."""
    return {
        row["row_id"]: row[FIELDS[field]]
        for page in pages
        for row in page.rows.to_pylist()
        if row[FIELDS[field]] is not None
    }


def dead(pages: list[Page]) -> list[DeadRow]:
    return [row for page in pages for row in page.dead]


def us_reading(text: str) -> Decimal | None:
    """Read a text as a US reader would: Python writes the value back as the same text, with or without commas."""
    bare = text.strip()
    is_negative = "(" in bare or "-" in bare
    if ("(" in bare and "-" in bare) or bare.count("$") > 1:
        return None
    if bare.endswith(")"):
        outer, _, bare = bare[:-1].partition("(")
        bare = outer.strip() + bare.strip()
    for mark in "-$-" if text.count("-") == 1 else "$":
        bare = bare.removeprefix(mark).strip()
    if not bare or set(bare) - set("0123456789.,"):
        return None
    digits = bare.replace(",", "")
    if digits.count(".") > 1 or not digits.strip("."):
        return None
    value = Decimal(digits)
    zeros = len(digits.partition(".")[0]) - len(digits.partition(".")[0].lstrip("0"))
    written = {
        f"{value:,f}",
        f"{value:f}",
        f"{value:f}".removeprefix("0"),
        "0" * zeros + f"{value:f}",
        "0" * zeros + f"{value:f}".removeprefix("0"),
    }
    return (-value if is_negative else value) if bare in written else None


# --- the corpus ---

AMOUNTS = ["0", "5", "12", "690", "1234", "12345", "1234567", "999999999"]
FRACTIONS = ["", "0", "5", "34", "900", "000", "1234"]
GROUPS = ["", ",", ".", " ", "\u00a0", "\u202f", "'", "_", "2,"]
POINTS = [".", ",", "\u00b7", "\u066b"]
SIGNS = ["{}", "-{}", "{}-", "({})", "( {} )", "\u2212{}", "+{}", "- {}", "(-{})", "--{}"]
CURRENCIES = ["{}", "${}", "$ {}", "{} $", "\u20ac{}", "{} \u20ac", "USD {}", "{}%"]


def grouped(digits: str, mark: str) -> str:
    if mark != "2,":
        return f"{int(digits):,}".replace(",", mark)
    *lakhs, last = [digits[:-3], digits[-3:]] if len(digits) > 3 else [digits]
    head = lakhs[0] if lakhs else ""
    pairs = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return ",".join([*pairs, last])


def corpus() -> list[str]:
    """List texts of numbers in every locale: each sign and currency, in each order."""
    texts = [
        f"{grouped(whole, group)}{point}{fraction}" if fraction else grouped(whole, group)
        for whole, fraction, group, point in itertools.product(AMOUNTS, FRACTIONS, GROUPS, POINTS)
    ]
    plain = list(dict.fromkeys(texts))
    ornaments = list(itertools.product(SIGNS, CURRENCIES))
    marked = [
        form.format(other.format(text))
        for n, text in enumerate(plain)
        for sign, currency in ornaments[n % 7 :: 7]
        for form, other in ((sign, currency), (currency, sign))
    ]
    return list(dict.fromkeys(plain + marked))


@pytest.mark.parametrize(("field", "target"), [("amount", pa.decimal128(20, 2)), ("units", pa.decimal128(28, 8))])
def test_text_of_any_locale_is_read_as_in_the_us_or_refused(field: str, target: pa.DataType) -> None:
    texts = corpus()
    assert len(texts) > 15_000
    readings = dict(zip(texts, read_texts(pa.array(texts), target).to_pylist(), strict=True))
    wrong = {text: value for text, value in readings.items() if value is not None and value != us_reading(text)}
    assert wrong == {}
    refused = [text for text, value in readings.items() if value is None and us_reading(text) is not None]
    assert all(field == "amount" and len(text.rstrip(") ").rpartition(".")[2]) > 2 for text in refused)


@pytest.mark.parametrize("read", [read_report, read_json])
@pytest.mark.parametrize("field", FIELDS)
def test_row_lives_with_the_us_reading_or_dies_with_the_shape_of_its_text(field: str, read: Reader) -> None:
    texts = corpus()[::31]
    pages = read(field, texts)
    readings = values(pages, field)
    assert {texts[n]: value for n, value in readings.items() if value != us_reading(texts[n])} == {}
    assert len(readings) + len(dead(pages)) == len(texts)
    for row in dead(pages):
        text = texts[int(str(row.key))]
        [reason] = row.reasons
        assert reason.endswith((f": {shape(text)}", " declared"))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text("0123456789.,$()- %+E'", min_size=1, max_size=12), min_size=1, max_size=12))
def test_any_text_is_read_as_in_the_us_or_refused(texts: list[str]) -> None:
    for field, read in itertools.product(FIELDS, (read_report, read_json)):
        readings = values(read(field, texts), field)
        assert {texts[n]: value for n, value in readings.items() if value != us_reading(texts[n])} == {}


@settings(deadline=None)
@given(st.lists(st.integers(-(10**19), 10**19).map(lambda n: Decimal(n).scaleb(-2)), min_size=1, max_size=8))
def test_money_in_us_notation_is_the_same_in_a_report_and_as_a_json_text(amounts: list[Decimal]) -> None:
    for form in ("{:,.2f}", "${:,.2f}", "{:f}"):
        texts = [form.format(each) for each in amounts]
        for read in (read_report, read_json):
            assert list(values(read("amount", texts), "amount").values()) == amounts


@pytest.mark.parametrize("text", ["129.900", "320.000", "1,234.567", "0.125", "1234.5678"])
def test_money_text_with_surplus_decimals_is_refused_and_counts_them(text: str) -> None:
    for read in (read_report, read_json):
        pages = read("amount", [text])
        assert [row.reasons for row in dead(pages)] == [
            (f"amount: {len(text.partition('.')[2])} decimals, 2 declared",)
        ]
    assert values(read_report("units", [text]), "units") == {0: us_reading(text)}


@pytest.mark.parametrize("layout", ['"units":"1,234.5"', '"units": "1,234.5"', '"units" :\t"1,234.5"'])
def test_decimal_that_json_writes_as_a_text_is_found_in_every_layout(layout: str) -> None:
    page = PageReader(TABLE, REDACTOR).read(
        b'[{"id":1,%s},{"id":2,%s},{"id":3,"units":null}]' % ((layout.encode(),) * 2)
    )
    assert page.rows.column("quantity").to_pylist() == [Decimal("1234.5")] * 2 + [None]


@pytest.mark.parametrize("layout", ['"units":"1e3"', '"units": "1e3"'])
def test_decimal_text_far_behind_the_beginning_of_a_page_is_read_by_our_rules_not_by_arrows(layout: str) -> None:
    row = '{"id": 1,"units": 2.5}' if " " in layout else '{"id":1,"units":2.5}'
    page = PageReader(TABLE, REDACTOR).read(f'[{",".join([row] * 5_000)},{{"id":7,{layout}}}]'.encode())
    assert page.rows.num_rows == 5_000
    [dead_row] = page.dead
    assert "units: not decimal(28,8): 9a9" in dead_row.reasons


@pytest.mark.parametrize("layout", ['"units": "1e3"', '"units":"1e3"'])
def test_decimal_text_in_another_layout_than_the_beginning_of_the_page_is_read_by_our_rules(layout: str) -> None:
    row = '{"id":1,"units":2.5}' if " " in layout else '{"id": 1,"units": 2.5}'
    page = PageReader(TABLE, REDACTOR).read(f'[{",".join([row] * 5_000)},{{"id":7,{layout}}}]'.encode())
    assert page.rows.num_rows == 5_000
    [dead_row] = page.dead
    assert "units: not decimal(28,8): 9a9" in dead_row.reasons


def test_decimals_of_a_page_may_be_numbers_and_texts() -> None:
    body = b'[{"id":1,"units":"1,234.5"},{"id":2,"units":2.5},{"id":3,"units":"1.234,5"}]'
    page = PageReader(TABLE, REDACTOR).read(body)
    assert page.rows.column("quantity").to_pylist() == [Decimal("1234.5"), Decimal("2.5")]
    assert [row.reasons for row in page.dead] == [("units: not decimal(28,8): 9.999,9",)]


def test_content_of_a_dead_row_holds_readable_numbers_as_numbers_and_the_others_as_they_came() -> None:
    [row] = PageReader(TABLE, REDACTOR).read(b'[{"id":1,"amount":"$1,234.50","units":"1.234,5"}]').dead
    assert json.loads(row.raw, parse_float=Decimal) == {"id": 1, "amount": Decimal("1234.50"), "units": "1.234,5"}


@pytest.mark.parametrize(("scale", "rounded"), [(2, None), (3, Decimal("1.235"))])
def test_text_of_a_rounded_column_is_rounded_to_three_decimals_or_more(scale: int, rounded: Decimal | None) -> None:
    assert read_texts(pa.array(["1.2346"]), pa.decimal128(20, scale), is_rounded=True).to_pylist() == [rounded]


def test_text_halfway_between_two_values_is_rounded_to_the_even_one() -> None:
    values = read_texts(pa.array(["1.2345", "1.2355", "(1.2345)"]), pa.decimal128(20, 3), is_rounded=True)
    assert values.to_pylist() == [Decimal("1.234"), Decimal("1.236"), Decimal("-1.234")]


# --- noise ---


@pytest.mark.parametrize(
    "text", ["101.95020000000001", "12868.519999999999", "10.010000000000002", "0.30000000000000004"]
)
def test_noise_of_doubles_is_rounded_in_every_column(text: str) -> None:
    for pages in (
        read_report("units", [text]),
        [PageReader(TABLE, REDACTOR).read(b'[{"id":0,"units":%s}]' % text.encode())],
    ):
        assert values(pages, "units") == {0: round(Decimal(text), 8)}


@pytest.mark.parametrize("text", ["1.123456789", "0.00000000001", "10.95020000009", "1e-40"])
def test_genuine_surplus_is_a_dead_row_that_counts_its_decimals(text: str) -> None:
    [row] = PageReader(TABLE, REDACTOR).read(b'[{"id":0,"units":%s}]' % text.encode()).dead
    count = -int(Decimal(text).as_tuple().exponent)
    assert row.reasons == (f"units: {count} decimals, 8 declared",)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**14), st.integers(-3, 3)), min_size=1, max_size=20))
def test_double_a_few_steps_beside_a_declared_value_is_that_value(steps: list[tuple[int, int]]) -> None:
    doubles = []
    for units, count in steps:
        double = units / 10**8
        for _ in range(abs(count)):
            double = math.nextafter(double, math.inf if count > 0 else 0)
        doubles.append(double)
    page = PageReader(TABLE, REDACTOR).read(json.dumps([{"id": n, "units": d} for n, d in enumerate(doubles)]).encode())
    assert page.rows.column("quantity").to_pylist() == [Decimal(units).scaleb(-8) for units, _ in steps]


@settings(deadline=None)
@given(st.lists(st.decimals(-(10**19), 10**19, places=12, allow_nan=False), min_size=1, max_size=20))
def test_number_is_changed_by_no_more_than_noise_where_no_rounding_is_declared(numbers: list[Decimal]) -> None:
    body = "[" + ",".join(f'{{"id":{n},"units":{number:f}}}' for n, number in enumerate(numbers)) + "]"
    pages = [PageReader(TABLE, REDACTOR).read(body.encode())]
    readings = values(pages, "units")
    for n, number in enumerate(numbers):
        is_noise = abs(round(number, 8) - number) <= abs(number) * Decimal("1e-12")
        assert readings.get(n) == (round(number, 8) if is_noise else None)


def test_page_of_noise_alone_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Page:
        raise AssertionError("read row by row")

    monkeypatch.setattr(PageReader, "_read_refused", refuse)
    body = json.dumps([{"id": n, "amount": n / 100 + 1e-12, "units": n / 7} for n in range(1, 100)])
    exact = body.replace('"units"', '"other"')
    with pytest.raises(AssertionError):
        PageReader(TABLE, REDACTOR).read(exact.encode())  # an undeclared field is detected, so the check itself works
    noisy = json.dumps([{"id": n, "amount": n / 100 + 1e-12, "units": n / 10 + 1e-14} for n in range(1, 100)])
    assert PageReader(TABLE, REDACTOR).read(noisy.encode()).rows.num_rows == 99


# --- shapes ---


@given(st.text(max_size=60))
def test_shape_contains_no_letter_or_digit_of_its_text(text: str) -> None:
    pattern = shape(text)
    assert len(pattern) <= 27
    assert pattern == "blank" or not {c for c in pattern if c.isalnum()} - set("9aA")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9,99", "9,99"),
        ("1.234,56", "9.999,99"),
        ("USD 5", "AAA 9"),
        ("\u20ac5", "\u20ac9"),
        ("n/a", "a/a"),
        (" ", "blank"),
        ("\u0663", "9"),
    ],
)
def test_shape_shows_how_a_text_is_written(text: str, expected: str) -> None:
    assert shape(text) == expected
