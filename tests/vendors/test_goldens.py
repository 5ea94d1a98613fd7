"""Goldens: a vendor's response for each table, and beside it the expected staged and canonical rows.

A nested table has no response of its own. A missing expected file is written, and the test fails, so that a
developer reviews it; none is ever overwritten.
"""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include.contract import FanOut, Nested, Table, Vendor
from include.vendors import VENDORS, named
from include.warehouse import schema
from tests.conftest import Database
from tests.vendors.golden_day import HERE, Day, goldens, run_day, to_json

CASES = [
    pytest.param(vendor, table, id=f"{vendor.name}-{table.name}")
    for vendor in VENDORS
    for table in vendor.requested_tables
]


@pytest.fixture(scope="module")
def day_of(engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Day]:
    """Runs a day of a vendor, once."""
    folder = tmp_path_factory.mktemp("goldens")
    return functools.cache(lambda name: run_day(engine, folder, named(name), goldens(named(name))))


def collect_outcome(day: Day, table: Table) -> dict[str, Any]:
    """Collect a table's staged rows, its unreadable or rejected rows, and its canonical rows by entity."""
    return {
        "staged": day.staged(table.name),
        "dead": day.dead(table.name),
        "canonical": {entity: day.read_canonical(table.name, entity) for entity in day.entities(table.name)},
    }


def _text(value: object) -> str:
    return json.dumps(value, indent=1, default=str, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(("vendor", "table"), CASES)
def test_response_becomes_its_golden(vendor: Vendor, table: Table, day_of: Callable[[str], Day]) -> None:
    expected = HERE / vendor.name / f"{table.name}.expected.json"
    actual = _text(collect_outcome(day_of(vendor.name), table))
    if not expected.exists():
        expected.write_text(actual)
        pytest.fail(f"{expected.name} was missing, and is written: read it")
    assert actual == expected.read_text()


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_file_has_a_table_and_every_requested_table_a_response(vendor: Vendor) -> None:
    requested = {table.name for table in vendor.requested_tables if not isinstance(table.shape, Nested)}
    assert goldens(vendor).keys() == requested
    expected = {path.name.removesuffix(".expected.json") for path in (HERE / vendor.name).glob("*.expected.json")}
    assert expected == {table.name for table in vendor.requested_tables}


def keep_required(table: Table, body: bytes) -> bytes:
    """Remove all optional values from a response."""
    required = {column.source for column in table.columns if column.required}

    def strip(value: Any) -> Any:
        rows = value[table.rows] if isinstance(value, dict) and table.rows else value
        for row in rows if isinstance(rows, list) else [rows]:
            for name in row.keys() - required:
                row[name] = None
                if table.omits_nulls:
                    del row[name]
        return value

    if body.lstrip()[:1] not in (b"[", b"{"):
        header, *lines = csv.reader(io.StringIO(body.decode()))
        cells = [[cell if name in required else "" for name, cell in zip(header, line, strict=True)] for line in lines]
        csv.writer(text := io.StringIO()).writerows([header, *cells])
        return text.getvalue().encode()
    if isinstance(table.shape, FanOut) and "{" in table.path:
        return to_json({path: strip(each) for path, each in json.loads(body).items()})
    return to_json(strip(json.loads(body)))


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_rows_that_state_only_what_is_required_are_loaded(vendor: Vendor, database: Database, tmp_path: Path) -> None:
    responses = {name: keep_required(vendor.table(name), body) for name, body in goldens(vendor).items()}
    engine = schema.engine(database.url())
    day = run_day(engine, tmp_path, vendor, responses)
    day.load()
    engine.dispose()
    assert any(day.staged(table.name) for table in vendor.requested_tables)


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_day_of_the_goldens_is_loaded_and_loaded_again_changes_nothing(
    vendor: Vendor, database: Database, tmp_path: Path
) -> None:
    engine = schema.engine(database.url())
    run_day(engine, tmp_path, vendor, goldens(vendor)).load()
    run_day(engine, tmp_path, vendor, goldens(vendor)).load()
    engine.dispose()
    second = "select sum(inserted + updated) from control.ledger where stage = 'load' and run_id = (select run_id from control.ledger order by ledger_id desc limit 1)"
    assert database.value(second) == 0
