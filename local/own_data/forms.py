"""The correct form of a column's values in words: of its declared type, and of the expectations of its suite."""

from __future__ import annotations

from typing import Any

from include.contract import BOOLEAN, DATE, INTEGER, STRING, TIMESTAMP, Column, Table
from include.contract.arrow import arrow_type
from include.validation.suite import Expectation

_PLAIN = {INTEGER: "a whole number", STRING: "a text", BOOLEAN: "true or false", TIMESTAMP: "a time, such as 2026-11-20T14:30:00Z"}  # fmt: skip
_CHECKS = {"has_check_digit": "a CUSIP or ISIN with a valid check digit, and its leading zeros"}


def describe_type(table: Table, col: Column) -> str:
    """Return the form of a column's values by its declared type."""
    if col.type == DATE:
        return "a date, such as 11/20/2026" if table.dates == "us" else "a date, such as 2026-11-20"
    if col.type in _PLAIN:
        return _PLAIN[col.type]
    type_ = arrow_type(col.type)
    rounded = "; more are rounded" if col.rounded else ""
    return f"a number with at most {type_.precision - type_.scale} digits before the point and {type_.scale} after it{rounded}"


def describe_expectation(expectation: Expectation) -> str:
    """Return the form that an expectation on rows requires: bounds, codes, a pattern, or a value."""
    kwargs = expectation.kwargs
    if expectation.check:
        return _CHECKS[expectation.check]
    if "value_set" in kwargs:
        return "one of " + ", ".join(map(str, kwargs["value_set"]))
    if "regex" in kwargs:
        return f"a text that matches {kwargs['regex']}"
    if "length" in expectation.type:
        return f"{_describe_limits(expectation)} characters"
    return _describe_limits(expectation) if expectation.limits else "a value"


def _describe_limits(expectation: Expectation) -> str:
    low, high = (expectation.kwargs.get(name) for name in ("min_value", "max_value"))
    if low is None or high is None:
        return f"at least {_write(low)}" if low is not None else f"at most {_write(high)}"
    return f"{_write(low)} to {_write(high)}"


def _write(bound: Any) -> str:
    """Return a bound as text: a number with commas; a date, or days from the day of the load, as it is in the suite."""
    if isinstance(bound, str):
        return bound.replace("extracted_at", "today").replace("business_date", "the day")
    return f"{bound:,}"
