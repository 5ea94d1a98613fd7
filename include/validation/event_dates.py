"""Apply a suite's date ranges to rows that arrive between the daily runs, without Great Expectations.

Without this check, a webhook or a caller could load a row with a date in 2099. The row would stay in the warehouse until the suite of the
next daily run refuses it.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import Pushed, Table, Vendor
from include.extract.columns import staged_schema
from include.extract.conflict import find_original_places, make_dead_rows
from include.extract.page import Page
from include.validation.date_bounds import Anchors, within_dates
from include.validation.suite import Expectation, find_suite

_RANGE = "expect_column_values_to_be_between"


def find_date_ranges(vendor: Vendor, table: Table) -> list[Expectation]:
    """Return the expectations of a table's suite that are ranges of dates or times.

    The list is empty for a table that arrives only by webhook, because it has no suite.
    """
    if isinstance(table.shape, Pushed):
        return []
    types = staged_schema(table)
    return [
        each
        for each in find_suite(vendor, table)
        if each.level == "row"
        and each.type == _RANGE
        and not each.check
        and pa.types.is_temporal(types.field(each.staged).type)
    ]


def separate_dates(page: Page, table: Table, ranges: list[Expectation], anchors: Anchors) -> Page:
    """Turn rows with a date out of range into dead rows, whose reasons name the fields and the ranges."""
    faults: dict[int, list[str]] = {}
    for each in ranges:
        within = within_dates(page.rows.column(each.staged).combine_chunks(), each.kwargs, anchors)
        for place in pc.indices_nonzero(pc.fill_null(pc.invert(within), False)).to_pylist():
            reason = f"{table.named(each.staged).source}: not within {each.limits}"
            faults.setdefault(place, []).append(reason)
    if not faults:
        return page
    originals = find_original_places(page)
    dead = make_dead_rows(
        page.rows.take(list(faults)), list(faults.values()), table, [originals[place] for place in faults]
    )
    alive = pa.array([place not in faults for place in range(page.rows.num_rows)], pa.bool_())
    return replace(page, rows=page.rows.filter(alive), dead=(*page.dead, *dead))
