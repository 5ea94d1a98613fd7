"""The firm's retention periods: the firm's settings, and the defaults of `DATASETS` for the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from include.errors import ConfigurationError
from include.retention.datasets import DATASETS, FOR_EVER, Dataset

_PERIOD = re.compile(r"(\d{1,4}) (days|years)")
_YEAR_DAYS = 365.25
LEAST_DOCUMENT_YEARS = 6
"""Minimum number of years for which signed documents are retained, from SEC Rule 17a-4."""


def days_of(period: str) -> float:
    """Return the number of days in a period such as `90 days` or `7 years`; raise ValueError if the text is not a period."""
    match = _PERIOD.fullmatch(period)
    if not match:
        raise ValueError(f"{period!r} is not like '90 days', '7 years' or '{FOR_EVER}'")
    return int(match[1]) * (_YEAR_DAYS if match[2] == "years" else 1)


def read_periods(overrides: Mapping[str, Any]) -> dict[str, str]:
    """Return the retention period of each dataset that the disposal handles.

    Args:
        overrides: Name of a dataset -> the firm's period, or `for ever`, as parsed from JSON.

    Raises:
        ConfigurationError: A name is unknown, or a period is invalid or shorter than its minimum; the message lists all faults.
    """
    known = {each.name: each for each in DATASETS if each.is_disposable}
    faults = [f"{name} is not a dataset whose period can be set" for name in overrides if name not in known]
    for name in known.keys() & overrides.keys():
        if fault := _find_fault(known[name], overrides[name]):
            faults.append(f"{name}: {fault}")
    if faults:
        raise ConfigurationError(f"Invalid retention periods: {'; '.join(sorted(faults))}")
    return {name: str(overrides.get(name, each.period)) for name, each in known.items()}


def read_document_years(text: str) -> int:
    """Return the years for which signed documents are retained.

    Raises:
        ConfigurationError: The text is not a whole number from `LEAST_DOCUMENT_YEARS` to 100.
    """
    if not text.isascii() or not text.isdigit() or not LEAST_DOCUMENT_YEARS <= int(text) <= 100:
        raise ConfigurationError(
            f"tributary_retention_years must be a whole number from {LEAST_DOCUMENT_YEARS} to 100 (SEC Rule 17a-4)",
            value=text,
        )
    return int(text)


def _find_fault(dataset: Dataset, period: object) -> str:
    """Return what is wrong with a period; an empty text if nothing is."""
    if period == FOR_EVER:
        return ""
    try:
        days = days_of(str(period))
    except ValueError as error:
        return str(error)
    if days < days_of(dataset.minimum):
        return f"{period} is shorter than the minimum of {dataset.minimum} (duty: {dataset.duty})"
    return ""
