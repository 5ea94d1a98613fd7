"""Check digits: an independent, plain computation agrees, real numbers pass, other texts are left unchanged."""

from __future__ import annotations

import random
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.canonical.check_digit import has_check_digit
from include.validation.suite import read_suite
from include.vendors import VENDORS
from sandbox.firm.market import SECURITIES

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*@#"


def check(*values: str | None) -> list[bool | None]:
    checked: list[bool | None] = has_check_digit(pa.array(values, pa.string())).to_pylist()
    return checked


def cusip_digit(stem: str) -> str:
    """Modulus 10, double add double, as the standard describes it: one character after the other."""
    total = 0
    for place, character in enumerate(stem, 1):
        value = ALPHABET.index(character) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str((10 - total % 10) % 10)


def isin_digit(stem: str) -> str:
    """Luhn over the text, with each letter replaced by its number."""
    digits = "".join(str(ALPHABET.index(character)) for character in stem)
    doubled = [int(d) * (2 if place % 2 == 0 else 1) for place, d in enumerate(reversed(digits))]
    return str(-sum(sum(divmod(value, 10)) for value in doubled) % 10)


CUSIP_STEMS = st.from_regex(r"([0-9]{3}|[A-Z][0-9]{3})[0-9A-Z*@#]{4}[0-9A-Z]", fullmatch=True).map(
    lambda text: text[:8]
)
ISIN_STEMS = st.from_regex(r"[A-Z]{2}[A-Z0-9]{9}", fullmatch=True)


@pytest.mark.parametrize(
    "number",
    ["037833100", "023135106", "38259P508", "68389X105", "G0176J109", "Y8564W103", "037833100 ", "17275r102",
     "US0378331005", "GB0002634946", "AU0000XVGZA3", "US5949181045", "us0378331005"],
)  # fmt: skip
def test_number_as_it_was_given_out_passes(number: str) -> None:
    assert check(number) == [True]


@pytest.mark.parametrize("number", ["037833101", "023145106", "38259P506", "G0176J108", "US0378331006", "GB0002634947"])
def test_number_with_another_check_digit_or_a_changed_digit_fails(number: str) -> None:
    assert check(number) == [False]


@pytest.mark.parametrize("number", ["37833100", "1055102", "0206R102"])
def test_number_that_lost_its_leading_zeros_fails(number: str) -> None:
    assert check(number) == [False]


@pytest.mark.parametrize(
    "own",
    ["CASH", "AAPL", "PRIVATE1", "PRIVATE-1", "XXXXX3100", "*****3100", "*********", "LP-2031", "1234567", "0123", "12", "BRK.B", "Private Note of 2031", ""],
)  # fmt: skip
def test_what_does_not_look_like_a_number_is_left_alone(own: str) -> None:
    assert check(own) == [True]


def test_null_stays_null_and_an_empty_column_is_empty() -> None:
    assert check(None, "037833100", None) == [None, True, None]
    assert check() == []


@given(st.lists(CUSIP_STEMS, max_size=20))
def test_only_one_digit_of_ten_is_right_for_a_cusip(stems: list[str]) -> None:
    for stem in stems:
        right = cusip_digit(stem)
        is_masked = "***" in stem or "XXX" in stem
        assert check(*(f"{stem}{digit}" for digit in range(10))) == [is_masked or str(d) == right for d in range(10)]


@given(ISIN_STEMS)
def test_only_one_digit_of_ten_is_right_for_an_isin(stem: str) -> None:
    right = isin_digit(stem)
    assert check(*(f"{stem}{digit}" for digit in range(10))) == ["XXX" in stem or str(d) == right for d in range(10)]


def test_sandbox_states_numbers_that_pass() -> None:
    assert all(check(*(security.cusip for security in SECURITIES)))


def test_million_rows_are_checked_in_a_fraction_of_a_second() -> None:
    draw = random.Random(1)
    few = [f"{draw.randrange(10**9):09d}" for _ in range(5000)]
    column = pa.array(draw.choices(few, k=1_000_000))
    started = time.process_time()
    has_check_digit(column)
    assert time.process_time() - started < 0.5


def test_every_staged_column_of_such_numbers_is_checked_by_its_suite() -> None:
    columns = [
        (vendor.name, table.name, column.name)
        for vendor in VENDORS
        for table in vendor.requested_tables
        for column in table.columns
        if column.kind == "value"
        and any(word in f"{column.name} {column.source}".lower() for word in ("cusip", "isin"))
    ]
    assert len(columns) >= 3
    for vendor, table, column in columns:
        row_level = {e.column for e in read_suite(vendor, table) if e.level == "row"}
        assert f"{column}.has_check_digit" in row_level, (vendor, table)
