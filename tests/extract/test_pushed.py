"""The faults that a push reports at once agree with the rows' later outcome, for every table and field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.contract import Table, Vendor
from include.extract.flatten import flatten_row
from include.extract.page import Page
from include.extract.pushed import expand, find_faults, stated_columns
from include.extract.whole_rows import WholeRowReader
from include.gateway.api.reading import is_pushable
from include.sensitive import Redactor
from include.vendors import VENDORS
from tests.pushed_rows import whole_row

TABLES = [(vendor, table) for vendor in VENDORS for table in vendor.requested_tables if is_pushable(vendor, table)]
NAMES = [f"{vendor.name}.{table.name}" for vendor, table in TABLES]
VALUES: list[Any] = [..., None, 7, 1.5, "x", "12", "2026-11-20", True, [], {}, [{"a": 1}], 2**63, 2**70]


def flatten(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    row = flatten_row(row, table.skipped) if table.has_objects else dict(row)
    expand(table, row)
    return row


def read(vendor: Vendor, table: Table, rows: list[dict[str, Any]]) -> Page:
    reader = WholeRowReader(table, Redactor(b"only for tests"), vendor.sentinels, vendor.zone, vendor.name)
    return reader.read(json.dumps([flatten(table, row) for row in rows]).encode())


@pytest.mark.parametrize(("vendor", "table"), TABLES, ids=NAMES)
def test_whole_row_is_accepted_and_read(vendor: Vendor, table: Table) -> None:
    row = whole_row(table)
    assert find_faults(table, flatten(table, row)) == []
    page = read(vendor, table, [row])
    assert (page.rows.num_rows, page.dead, page.undeclared) == (1, (), frozenset())


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize(("vendor", "table"), TABLES, ids=NAMES)
def test_row_that_is_rejected_at_once_is_dead_with_the_same_fields(vendor: Vendor, table: Table, value: Any) -> None:
    columns = stated_columns(table)
    rows = [whole_row(table, **{col.source: value}) for col in columns]
    dead = {each.place: each for each in read(vendor, table, rows).dead}
    for place, row in enumerate(rows):
        faults = find_faults(table, flatten(table, row))
        fields = {fault.partition(": ")[0] for fault in faults}
        if faults:
            assert fields <= {reason.partition(": ")[0] for reason in dead[place].reasons}, columns[place].source


@pytest.mark.parametrize(("vendor", "table"), TABLES, ids=NAMES)
def test_row_that_leaves_any_field_out_is_dead_and_takes_no_other_with_it(vendor: Vendor, table: Table) -> None:
    columns = stated_columns(table)
    rows = [whole_row(table, **{col.source: ...}) for col in columns]
    page = read(vendor, table, [whole_row(table), *rows, whole_row(table)])
    assert page.rows.num_rows == 2
    assert [(each.place, each.reasons) for each in page.dead] == [
        (place, (f"{col.source}: absent",)) for place, col in enumerate(columns, 1)
    ]


def test_object_that_is_null_states_its_fields() -> None:
    vendor, table = next((v, t) for v, t in TABLES if any("." in c.source for c in stated_columns(t)))
    within = next(col.source for col in stated_columns(table) if "." in col.source).partition(".")[0]
    row = whole_row(table) | {within: None}
    assert find_faults(table, flatten(table, row)) == []
    page = read(vendor, table, [row])
    assert (page.rows.num_rows, page.undeclared) == (1, frozenset())
    assert find_faults(table, flatten(table, {name: row[name] for name in row if name != within})) != []
