"""Every date and time that a vendor states has a first and a last plausible day in its suite."""

from __future__ import annotations

import pyarrow as pa

from include.extract.columns import staged_schema
from include.validation.event_dates import find_date_ranges
from include.vendors import VENDORS


def test_every_date_and_time_of_a_requested_table_has_both_bounds() -> None:
    """A column without them would take the years 202 and 2062."""
    checked, unbounded = 0, []
    for vendor in VENDORS:
        for table in vendor.requested_tables:
            bounded = {
                e.staged for e in find_date_ranges(vendor, table) if {"min_value", "max_value"} <= e.kwargs.keys()
            }
            dated = [field.name for field in staged_schema(table) if pa.types.is_temporal(field.type)]
            checked += len(dated)
            unbounded += [f"{vendor.name}.{table.name}.{name}" for name in dated if name not in bounded]
    assert unbounded == []
    assert checked > 40
