"""Thresholds are read from configuration; an invalid value is rejected with a message."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.errors import ConfigurationError
from include.rules.policy import Policy


def test_no_overrides_give_the_defaults() -> None:
    assert Policy.of({}) == Policy()


def test_defaults_pass_their_own_reading() -> None:
    values = {name: list(v) if isinstance(v, frozenset) else v for name, v in vars(Policy()).items()}
    assert Policy.of(values) == Policy()


def test_numbers_are_exact_however_json_writes_them() -> None:
    policy = Policy.of({"excess_cash_percent": 7.1, "excess_cash_floor_usd": "1000.10", "unfunded_days": 45})
    assert policy.excess_cash_percent == Decimal("7.1")
    assert policy.excess_cash_floor_usd == Decimal("1000.10")
    assert policy.unfunded_days == 45


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("excess_cash_pct", 7, "is not a threshold"),
        ("excess_cash_percent", 0, "must be between 0.01 and 100"),
        ("excess_cash_percent", 101, "must be between 0.01 and 100"),
        ("excess_cash_percent", "ten", "must be a number"),
        ("excess_cash_percent", "NaN", "must be a number"),
        ("excess_cash_percent", True, "must be a number"),
        ("excess_cash_percent", None, "must be a number"),
        ("excess_cash_percent", "1.00001", "must not have more than four decimals"),
        ("excess_cash_floor_usd", -1, "must be between 0"),
        ("share_tolerance_ratio", 1, "must be between 0 and 0.1"),
        ("unfunded_days", 0, "must be between 1"),
        ("unfunded_days", 1.5, "must be a whole number"),
        ("flow_review_days", 93, "must be between 1 and 92"),
        ("concentration_exempt_types", "ETF", "must be a list of strings"),
        ("concentration_includes_cash", 1, "must be true or false"),
    ],
)
def test_nonsense_is_refused_by_name(name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} {words}"):
        Policy.of({name: value})


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"rules: a is not a threshold; unfunded_days must"):
        Policy.of({"a": 1, "unfunded_days": -1})
