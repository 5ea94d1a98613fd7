"""Build the data frame that Great Expectations checks. It has only the columns of the suite, in types that are checked fast and exactly.

- Decimals of up to 15 digits become float64, which represents them exactly.
- Texts become categoricals.
- Ranges of wider decimals, dates and times are checked here (times by their day). The frame has only the result: 1 (within the range),
  0 (not within it), or null (no value).
- `<column>.<check>` has the result of a check of `CHECKS`: 1 (valid), 0 (invalid), or null (no value).

The index of the frame is the row's position in the part, which locates bad rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from include.canonical.check_digit import has_check_digit
from include.errors import ConfigurationError
from include.validation.date_bounds import Anchors, within_dates
from include.validation.suite import Expectation

CHECKS: Mapping[str, Callable[[pa.Array], pa.Array]] = {"has_check_digit": has_check_digit}
"""Checks that Great Expectations does not offer, for use in suites: name -> function of the column."""

_EXACT_DIGITS = 15
_RANGE = "expect_column_values_to_be_between"


def view(rows: pa.Table, suite: Sequence[Expectation], anchors: Anchors) -> tuple[pd.DataFrame, list[Expectation]]:
    """Return the frame to check, and the suite's expectations rewritten for the frame, in the same order.

    Raises:
        ConfigurationError: The suite names a column that is not staged, an unknown check, or an invalid date bound.
    """
    columns: dict[str, pd.Series[Any]] = {}
    applied: list[Expectation] = []
    for expectation in suite:
        if expectation.staged not in rows.column_names:
            raise ConfigurationError("The suite names a column that is not staged", column=expectation.staged)
        values = rows.column(expectation.staged).combine_chunks()
        if expectation.type == _RANGE and (_is_wide(values.type) or pa.types.is_temporal(values.type)):
            name = f"{expectation.column} within range {len(applied)}"
            columns[name] = _to_series(_check_range(values, expectation.kwargs, anchors))
            applied.append(
                replace(
                    expectation,
                    type="expect_column_values_to_be_in_set",
                    kwargs={"column": name, "value_set": [1]},
                )
            )
            continue
        if expectation.column not in columns:
            columns[expectation.column] = _to_series(_apply_check(values, expectation))
        applied.append(replace(expectation, kwargs=plain(expectation.kwargs)))
    return pd.DataFrame(columns), applied


def plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Convert an expectation's arguments for Great Expectations: decimals become floats, which are exact up to 15 digits."""
    return {name: _convert_argument(value) for name, value in kwargs.items()}


def _convert_argument(value: Any) -> Any:
    if isinstance(value, list):
        return [_convert_argument(each) for each in value]
    return float(value) if hasattr(value, "as_tuple") else value


def _is_wide(type_: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(type_) and type_.precision > _EXACT_DIGITS)


def _apply_check(values: pa.Array, expectation: Expectation) -> pa.Array:
    """Return the result of the expectation's check on a column; without a check, the column itself."""
    if not expectation.check:
        return values
    if expectation.check not in CHECKS:
        raise ConfigurationError(
            f"The suite names an unknown check; known: {', '.join(CHECKS)}", column=expectation.column
        )
    return CHECKS[expectation.check](values)


def _check_range(values: pa.Array, bounds: dict[str, Any], anchors: Anchors) -> pa.Array:
    """Return whether each value is within the bounds; null for null. Dates and times are compared by day, numbers as decimals."""
    if pa.types.is_temporal(values.type):
        return within_dates(values, bounds, anchors)
    within = pa.array([True] * len(values))
    wide = values.cast(pa.decimal256(76, 20))
    for name, compare, strict in (
        ("min_value", pc.greater_equal, pc.greater),
        ("max_value", pc.less_equal, pc.less),
    ):
        if bounds.get(name) is not None:
            bound = pa.scalar(str(bounds[name])).cast(wide.type)
            compare = strict if bounds.get(f"strict_{name[:3]}") else compare
            within = pc.and_(within, compare(wide, bound))
    return pc.if_else(pc.is_valid(values), within, None)


def _to_series(values: pa.Array) -> pd.Series[Any]:
    type_ = values.type
    if pa.types.is_string(type_) or pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        encoded = values.cast(pa.string()).dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(False)
        return pd.Series(pd.Categorical.from_codes(codes, categories=encoded.dictionary.to_pylist()))
    if pa.types.is_integer(type_) and values.null_count == 0:
        return pd.Series(values.to_numpy(False))
    number = values.cast(pa.int8()) if pa.types.is_boolean(type_) else values
    return pd.Series(number.cast(pa.float64()).to_numpy(False))
