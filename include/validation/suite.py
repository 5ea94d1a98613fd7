"""Read suites: the JSON files `great_expectations/<vendor>__<table>.json`, which people edit; numbers are in natural units.

The `meta.level` of an expectation sets the consequence of a failure:

row     the row becomes a dead letter
batch   the vendor-day stops before anything is loaded. The expectation checks a measure of the day (see `measures`), not rows

A `row` expectation may use a check of a column, `cusip.has_check_digit` (see `view`), and relative date bounds
(see `date_bounds`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

from include.contract import Table, Vendor
from include.errors import ConfigurationError

SUITES = Path(__file__).parents[2] / "great_expectations"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation of a suite.

    Attributes:
        type: Great Expectations' name of the expectation, such as `expect_column_values_to_not_be_null`.
        kwargs: Arguments; numbers are exact decimals or integers.
        level: `row` or `batch`.
        notes: Reason for the expectation; shown in Data Docs.
    """

    type: str
    kwargs: dict[str, Any]
    level: Literal["row", "batch"]
    notes: str = ""

    @property
    def column(self) -> str:
        """The `column` argument: a staged column, `<column>.<check>`, or a measure."""
        return str(self.kwargs["column"])

    @property
    def staged(self) -> str:
        """The staged column, without the check."""
        return self.column.partition(".")[0]

    @property
    def check(self) -> str:
        """The check in `<column>.<check>`, such as `has_check_digit`; empty if the expectation applies to the values themselves."""
        return self.column.partition(".")[2]

    @property
    def name(self) -> str:
        """Name in results: type and column."""
        return f"{self.type}({self.column})"

    @property
    def limits(self) -> str:
        """The bounds as text, such as `0 to 1000000`; empty if there are none."""
        low, high = (self.kwargs.get(bound) for bound in ("min_value", "max_value"))
        if low is None or high is None:
            return f"at least {low}" if low is not None else f"at most {high}" if high is not None else ""
        return f"{low} to {high}"

    @property
    def reason(self) -> str:
        """Name in dead letters and errors: type, column and bounds."""
        return f"{self.name}: {self.limits}" if self.limits else self.name


RANGE, IN_SET = "expect_column_values_to_be_between", "expect_column_values_to_be_in_set"


def find_suite(vendor: Vendor, table: Table) -> tuple[Expectation, ...]:
    """Return the suite of a table with the firm's bounds and codes.

    Raises:
        ConfigurationError: The suite is missing or invalid.
    """
    bounds, codes = vendor.bounds.get(table.name, {}), vendor.codes.get(table.name, {})
    return tuple(
        _change(each, bounds.get(each.column, {}), codes.get(each.column, {}))
        for each in read_suite(vendor.name, table.name)
    )


def _change(expectation: Expectation, bounds: Mapping[str, str], codes: Mapping[str, str]) -> Expectation:
    kwargs = dict(expectation.kwargs)
    if expectation.type == RANGE:
        kwargs |= {f"{name}_value": read_bound(value) for name, value in bounds.items()}
    if expectation.type == IN_SET:
        kwargs["value_set"] = [*dict.fromkeys((*kwargs["value_set"], *codes))]
    return expectation if kwargs == expectation.kwargs else replace(expectation, kwargs=kwargs)


def read_bound(text: str) -> Decimal | int | str:
    """Return a bound as a suite has it: an exact number, or the text of a date."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return int(number) if number == number.to_integral_value() else number


def read_suite(vendor: str, table: str, folder: Path = SUITES) -> tuple[Expectation, ...]:
    """Read the suite of a table.

    Raises:
        ConfigurationError: The suite is missing or invalid.
    """
    path = folder / f"{vendor}__{table}.json"
    try:
        raw = json.loads(path.read_text(), parse_float=Decimal)
        return tuple(
            Expectation(e["type"], e["kwargs"], e["meta"]["level"], e["meta"].get("notes", ""))
            for e in raw["expectations"]
        )
    except FileNotFoundError as error:
        raise ConfigurationError("The table has no suite", vendor=vendor, table=table, expected=path.name) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"Invalid suite: {error}", suite=path.name) from error
