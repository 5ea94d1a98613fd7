"""How the Operations pages write values."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from plugins.tributary.operations.rendering import (
    draw_sparkline,
    write_measure,
    write_moment,
    write_money,
    write_number,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0, "0"),
        (1234567, "1,234,567"),
        (Decimal("1200.50"), "1,200.5"),
        (0.25, "0.25"),
        (Decimal("-3.00000000"), "-3"),
        (Decimal("-0.00000001"), "-0.00000001"),
        (Decimal("0E-8"), "0"),
        (1000, "1,000"),
    ],
)
def test_numbers_have_commas_and_no_zeros_at_the_end(value: object, text: str) -> None:
    assert write_number(value) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (Decimal("1234.5"), "$1,234.50"), (Decimal("-3"), "-$3.00"), (Decimal(0), "$0.00")]
)
def test_money_has_dollars_and_cents(value: Decimal | None, text: str) -> None:
    assert write_money(value) == text


def test_a_time_is_marked_for_the_viewers_zone_and_a_date_is_not() -> None:
    assert (
        write_moment(datetime(2026, 11, 25, 7, 5, tzinfo=UTC))
        == '<time datetime="2026-11-25T07:05:00+00:00">2026-11-25 07:05 UTC</time>'
    )
    assert write_moment(date(2026, 11, 25)) == "2026-11-25"


def test_a_missing_value_interrupts_the_line() -> None:
    drawn = draw_sparkline([1, 2, None, 4], width=30, height=10)
    assert drawn.count("<polyline") == 2
    assert 'points="0.0,7.0 10.0,5.0"' in drawn
    assert "1, 2, none, 4" in drawn


def test_no_values_are_an_empty_line() -> None:
    assert "<polyline" not in draw_sparkline([])


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "seconds", ""), (0, "seconds", "0 s"), (0.095, "seconds", "0.1 s"), (59.94, "seconds", "59.9 s"), (60, "seconds", "1 min"),
        (3599, "seconds", "1 h 00 min"), (11100, "seconds", "3 h 05 min"), (86400, "seconds", "1 d"), (95000, "seconds", "1 d 2 h"),
        (1234.5, "dollars", "$1,234.50"), (0.05, "ratio", "5 %"), (0.0614, "ratio", "6.1 %"), (1200.0, "items", "1,200"),
    ],
)  # fmt: skip
def test_a_measure_is_written_with_its_unit(value: float | None, unit: str, text: str) -> None:
    assert write_measure(value, unit) == text
