"""Date ranges in suites. A bound is a date (`1970-01-01`), or relative to a date of the partition (`business_date+31d`).

With relative bounds, a mistyped year such as 202 or 2062 is refused on every day, today and in years.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.errors import ConfigurationError
from include.staging.partitions import Manifest

Anchors = Mapping[str, date]
"""Dates of a partition by name: `business_date`, and `extracted_at` as a day in UTC."""

_MOVING = re.compile(r"(business_date|extracted_at)(?:([+-]\d+)d)?")


def read_anchors(manifest: Manifest) -> Anchors:
    """Return the dates of a partition to which bounds may be relative."""
    return {"business_date": manifest.business_date, "extracted_at": manifest.extracted_at.date()}


def resolve_bounds(kwargs: Mapping[str, Any], anchors: Anchors) -> dict[str, Any]:
    """Return an expectation's arguments with each relative bound replaced by its date, for reports."""
    return {
        name: _resolve_bound(value, anchors).isoformat() if _MOVING.fullmatch(str(value)) else value
        for name, value in kwargs.items()
    }


def within_dates(values: pa.Array, kwargs: Mapping[str, Any], anchors: Anchors) -> pa.Array:
    """Return whether each date is from `min_value` to `max_value`, both included; null if the value is null. Times count by their UTC date.

    Raises:
        ConfigurationError: A bound is neither a date nor relative to a date of the partition.
    """
    is_time = pa.types.is_timestamp(values.type)
    days = values.cast(pa.timestamp("us")).cast(pa.date32(), safe=False) if is_time else values
    within = pc.if_else(pc.is_valid(days), True, None)
    for name, compare in (("min_value", pc.greater_equal), ("max_value", pc.less_equal)):
        if kwargs.get(name) is not None:
            bound = pa.scalar(_resolve_bound(kwargs[name], anchors), pa.date32())
            within = pc.and_(within, compare(days, bound))
    return within


def is_date_bound(text: str) -> bool:
    """Return whether a text is a date, or relative to a date of a partition."""
    try:
        _resolve_bound(text, dict.fromkeys(("business_date", "extracted_at"), date(2000, 1, 1)))
    except ConfigurationError:
        return False
    return True


def _resolve_bound(bound: object, anchors: Anchors) -> date:
    text = str(bound)
    try:
        if moving := _MOVING.fullmatch(text):
            return anchors[moving[1]] + timedelta(days=int(moving[2] or 0))
        return date.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            "Invalid date bound in a suite: write 1970-01-01, business_date+31d or extracted_at+1d", bound=text
        ) from None
