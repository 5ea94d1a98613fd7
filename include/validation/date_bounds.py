"""Date ranges in suites: a bound is a date (`1970-01-01`) or relative to the partition (`business_date+31d`).

A relative bound moves with the partition, so that a date of the year 202 or 2062 is refused on every day.
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
"""Name -> day: `business_date`, and `extracted_at` as a day in UTC."""

_MOVING = re.compile(r"(business_date|extracted_at)(?:([+-]\d+)d)?")


def read_anchors(manifest: Manifest) -> Anchors:
    """Return the anchor dates of a partition."""
    return {"business_date": manifest.business_date, "extracted_at": manifest.extracted_at.date()}


def resolve_bounds(kwargs: Mapping[str, Any], anchors: Anchors) -> dict[str, Any]:
    """Return an expectation's arguments with relative bounds resolved to dates, for reports."""
    return {
        name: _resolve_bound(value, anchors).isoformat() if _MOVING.fullmatch(str(value)) else value
        for name, value in kwargs.items()
    }


def within_dates(values: pa.Array, kwargs: Mapping[str, Any], anchors: Anchors) -> pa.Array:
    """Return whether each date, or UTC date of a time, is within `min_value` and `max_value`; null if the value is null.

    Raises:
        ConfigurationError: A bound is neither a date nor relative to an anchor.
    """
    is_time = pa.types.is_timestamp(values.type)
    days = values.cast(pa.timestamp("us")).cast(pa.date32(), safe=False) if is_time else values
    within = pc.if_else(pc.is_valid(days), True, None)
    for name, compare in (("min_value", pc.greater_equal), ("max_value", pc.less_equal)):
        if kwargs.get(name) is not None:
            bound = pa.scalar(_resolve_bound(kwargs[name], anchors), pa.date32())
            within = pc.and_(within, compare(days, bound))
    return within


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
