"""Goldens: what a vendor answers for each table, and beside it what it must become, staged and canonical.

A nested table has no answer of its own. An expected file that is missing is written, and the test fails until
somebody has read it; none is ever overwritten.
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
from tests.vendors.answered import HERE, Day, goldens, run_day, written

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


def become(day: Day, table: Table) -> dict[str, Any]:
    """What a table becomes: staged rows, rows that can't be read or are refused, and canonical rows by entity."""
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
    became = _text(become(day_of(vendor.name), table))
    if not expected.exists():
        expected.write_text(became)
        pytest.fail(f"{expected.name} was missing, and is written: read it")
    assert became == expected.read_text()


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_every_file_has_a_table_and_every_requested_table_a_response(vendor: Vendor) -> None:
    asked_for = {table.name for table in vendor.requested_tables if not isinstance(table.shape, Nested)}
    assert goldens(vendor).keys() == asked_for
    expected = {path.name.removesuffix(".expected.json") for path in (HERE / vendor.name).glob("*.expected.json")}
    assert expected == {table.name for table in vendor.requested_tables}


def stripped(table: Table, answer: bytes) -> bytes:
    """The answer with nothing in its rows but what is required."""
    required = {column.source for column in table.columns if column.required}

    def strip(value: Any) -> Any:
        rows = value[table.rows] if isinstance(value, dict) and table.rows else value
        for row in rows if isinstance(rows, list) else [rows]:
            for name in row.keys() - required:
                row[name] = None
                if table.omits_nulls:
                    del row[name]
        return value

    if answer.lstrip()[:1] not in (b"[", b"{"):
        header, *lines = csv.reader(io.StringIO(answer.decode()))
        cells = [[cell if name in required else "" for name, cell in zip(header, line, strict=True)] for line in lines]
        csv.writer(text := io.StringIO()).writerows([header, *cells])
        return text.getvalue().encode()
    if isinstance(table.shape, FanOut) and "{" in table.path:
        return written({path: strip(each) for path, each in json.loads(answer).items()})
    return written(strip(json.loads(answer)))


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_rows_that_state_only_what_is_required_are_loaded(vendor: Vendor, database: Database, tmp_path: Path) -> None:
    answers = {name: stripped(vendor.table(name), answer) for name, answer in goldens(vendor).items()}
    engine = schema.engine(database.url())
    day = run_day(engine, tmp_path, vendor, answers)
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
