"""How lists are written for terminals and spreadsheets."""

from __future__ import annotations

from decimal import Decimal

import pytest

from include.audit.report import format_csv, format_table


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@sum", "'@sum"),
        ("-2", "'-2"),
        (["+1", "x"], '"\'+1, x"'),
        (Decimal("-769210.50"), "-769210.50"),
        (-3, "-3"),
        (None, ""),
        ("plain", "plain"),
    ],
)
def test_a_text_is_no_formula_and_a_negative_number_stays_one(value: object, cell: str) -> None:
    assert format_csv([{"a": value, "b": 1}], ["a", "b"]) == f"a,b\n{cell},1"


def test_a_terminal_obeys_no_text() -> None:
    assert "\x1b" not in format_table([{"a": "\x1b[2J"}], ["a"])
