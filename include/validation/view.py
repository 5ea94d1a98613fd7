"""What Great Expectations gets to see of a part: only the columns of the suite, in types that it checks fast and exactly.

Decimals of up to 15 digits are exact as float64. A wider column has its range checked here, in decimals, and shows as a
column of 1 (within) and 0; texts are categoricals. The row's place in the part is the index, by which bad rows are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from include.errors import ConfigurationError
from include.validation.suite import Expectation

_EXACT_DIGITS = 15
_RANGE = "expect_column_values_to_be_between"


def view(rows: pa.Table, suite: Sequence[Expectation]) -> tuple[pd.DataFrame, list[Expectation]]:
    """Returns the frame to check, and the expectations as they apply to it, in the suite's order.

    Raises:
        ConfigurationError: The suite names a column that is not staged.
    """
    columns: dict[str, pd.Series[Any]] = {}
    applied: list[Expectation] = []
    for expectation in suite:
        if expectation.column not in rows.column_names:
            raise ConfigurationError("The suite names a column that is not staged", column=expectation.column)
        values = rows.column(expectation.column).combine_chunks()
        if expectation.type == _RANGE and _is_wide(values.type):
            name = f"{expectation.column} within range {len(applied)}"
            columns[name] = _within(values, expectation.kwargs)
            applied.append(
                replace(
                    expectation,
                    type="expect_column_values_to_be_in_set",
                    kwargs={"column": name, "value_set": [1]},
                )
            )
            continue
        if expectation.column not in columns:
            columns[expectation.column] = _series(values)
        applied.append(replace(expectation, kwargs=plain(expectation.kwargs)))
    return pd.DataFrame(columns), applied


def plain(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments as Great Expectations takes them: decimals as floats, exact up to 15 digits."""
    return {name: _plain(value) for name, value in kwargs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return float(value) if hasattr(value, "as_tuple") else value


def _is_wide(type_: pa.DataType) -> bool:
    return bool(pa.types.is_decimal(type_) and type_.precision > _EXACT_DIGITS)


def _within(values: pa.Array, bounds: dict[str, Any]) -> pd.Series[Any]:
    """1 where the value is within the bounds, 0 where not, null where null; compared as decimals."""
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
    return pd.Series(pc.if_else(pc.is_valid(values), within.cast(pa.int8()), None).cast(pa.float64()).to_numpy(False))


def _series(values: pa.Array) -> pd.Series[Any]:
    type_ = values.type
    if pa.types.is_string(type_) or pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        encoded = values.cast(pa.string()).dictionary_encode()
        codes = pc.fill_null(encoded.indices, -1).to_numpy(False)
        return pd.Series(pd.Categorical.from_codes(codes, categories=encoded.dictionary.to_pylist()))
    if pa.types.is_integer(type_) and values.null_count == 0:
        return pd.Series(values.to_numpy(False))
    number = values.cast(pa.int8()) if pa.types.is_boolean(type_) else values
    return pd.Series(number.cast(pa.float64()).to_numpy(False))
