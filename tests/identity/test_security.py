"""Which securities of several vendors are linked: by identifier, never by symbol alone."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from include.identity.security import SECURITIES, Conflict, link_securities, read_numbers

APPLE, APPLE_ISIN, OTHER = "037833100", "US0378331005", "594918104"


def securities(*rows: dict[str, Any]) -> pa.Table:
    """Build securities with the ids 1, 2, ..., each of a vendor of its own."""
    named = [{"security_id": n, "vendor": f"v{n}"} | row for n, row in enumerate(rows, 1)]
    return pa.Table.from_pylist(named, schema=SECURITIES)


def link(*rows: dict[str, Any], known: dict[int, int] | None = None) -> dict[int, int]:
    return link_securities(securities(*rows), known or {})[0]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (APPLE, APPLE),
        (APPLE, APPLE_ISIN),
        (APPLE, " 037833100 "),
        ("38259p508", "38259P508"),
        ("GB0002634946", "GB0002634946"),
    ],
    ids=["CUSIP", "CUSIP and ISIN", "blanks", "lower case", "ISIN without a CUSIP"],
)
def test_one_number_is_one_security(left: str, right: str) -> None:
    assert link({"cusip": left}, {"cusip": right}) == {2: 1}


@pytest.mark.parametrize(
    ("left", "right"),
    [(APPLE, OTHER), ("037833101", "037833101"), ("37833100", "37833100"), (None, None), ("XXXXX3100", "XXXXX3100"),
     ("000000000", "000000000"), ("CASH", "CASH"), ("US0378331006", "US0378331006")],
    ids=["other numbers", "wrong digit", "lost zero", "none", "masked", "placeholder", "a word", "ISIN with a wrong digit"],
)  # fmt: skip
def test_other_or_doubtful_numbers_are_two_securities(left: str | None, right: str | None) -> None:
    same = {"ticker": "AAPL", "name": "Apple Inc"}
    assert link(same | {"cusip": left}, same | {"cusip": right}) == {}


def test_a_number_is_one_security_whatever_its_name_and_symbol() -> None:
    assert link({"cusip": APPLE, "ticker": "FB"}, {"cusip": APPLE, "ticker": "META", "name": "Renamed"}) == {2: 1}


@pytest.mark.parametrize(
    "number", ["990101107", "123990100", "037833951"], ids=["issuer 99", "issuer ends 99", "issue 95"]
)
def test_a_number_of_private_use_needs_the_same_symbol_or_name(number: str) -> None:
    number = number[:8] + next(d for d in "0123456789" if read_numbers(pa.chunked_array([[number[:8] + d]]))[0].as_py())
    assert link({"cusip": number, "ticker": "AB.C"}, {"cusip": number, "ticker": "ab c"}) == {2: 1}
    assert link({"cusip": number, "name": "A Note 4%"}, {"cusip": number, "name": "a note, 4%"}) == {2: 1}
    assert link({"cusip": number, "ticker": "ABC"}, {"cusip": number, "ticker": "XYZ"}) == {}
    assert link({"cusip": number}, {"cusip": number}) == {}


def test_cash_with_a_number_of_private_use_stays_the_vendors() -> None:
    cash = {"cusip": "990101107", "ticker": "CASH"}
    assert link(cash, cash) == {}


def test_three_vendors_and_one_of_a_vendors_two_records_are_one() -> None:
    assert link({"cusip": APPLE}, {"cusip": APPLE_ISIN}, {"cusip": APPLE, "vendor": "v1"}) == {2: 1, 3: 1}


def test_representative_stays_when_an_older_record_joins() -> None:
    assert link({"cusip": APPLE}, {"cusip": APPLE}, {"cusip": APPLE}, known={2: 2, 3: 2}) == {1: 2, 3: 2}


def test_another_record_represents_the_rest_when_the_first_changes_its_number() -> None:
    assert link({"cusip": OTHER}, {"cusip": APPLE}, {"cusip": APPLE}, known={1: 1, 2: 1, 3: 1}) == {3: 2}


@pytest.mark.parametrize(
    ("left", "right", "is_one"),
    [
        ("StockOrETF", "Common Stock", True), ("StockOrETF", "ETF", True), ("MutualFund", "Open-End Fund", True),
        ("Bond", "Treasury", True), ("CD", "Certificate of Deposit", True), ("UnitInvestmentTrust", "ETF", True),
        ("MutualFund", "Bond Fund", True), ("StockOrETF", "Something else", True), ("StockOrETF", None, True),
        ("StockOrETF", "Option", False), ("Bond", "Common Stock", False),
    ],
)  # fmt: skip
def test_two_kinds_of_thing_under_one_number_are_a_conflict(left: str, right: str | None, is_one: bool) -> None:
    same, conflicts = link_securities(
        securities({"cusip": APPLE, "security_type": left}, {"cusip": APPLE, "security_type": right}), {}
    )
    assert same == ({2: 1} if is_one else {})
    assert conflicts == ([] if is_one else [Conflict(APPLE, [1, 2], [f"v1: {left}", f"v2: {right}"])])


def test_no_securities_are_none() -> None:
    assert link_securities(SECURITIES.empty_table(), {}) == ({}, [])


@pytest.mark.parametrize(
    "kind",
    ["Equity Option", "StockOption", "Call Option on Stock", "ETF Option", "Stock Warrant", "Option - Equity", "Puts"],
)
def test_option_with_the_number_of_its_share_is_a_conflict(kind: str) -> None:
    same, [conflict] = link_securities(
        securities({"cusip": APPLE, "security_type": "Common Stock"}, {"cusip": APPLE, "security_type": kind}), {}
    )
    assert same == {}
    assert conflict.security_ids == [1, 2]


@pytest.mark.parametrize("kind", ["Option Income Fund", "Covered Call ETF", "Warrant Trust Fund", "Money Market Fund"])
def test_fund_of_options_is_a_fund(kind: str) -> None:
    assert link({"cusip": APPLE, "security_type": "Mutual Fund"}, {"cusip": APPLE, "security_type": kind}) == {2: 1}
