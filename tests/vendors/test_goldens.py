"""Goldens: a page of each table as the vendor sends it, and beside it what it must become, staged and canonical.

`python -m tests.vendors.test_goldens` writes the expected files that are missing; it never overwrites one.
"""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from include import transform
from include.contract import Table, Vendor
from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.sensitive import Redactor
from include.staging import Staging
from include.validation.rows import FAULTS, write_faults
from include.vendors import VENDORS

HERE = Path(__file__).parent
CASES = [pytest.param(vendor, table, id=f"{vendor.name}-{table.name}") for vendor in VENDORS for table in vendor.tables]


def become(vendor: Vendor, table: Table, body: bytes, folder: str) -> dict[str, Any]:
    """What a page becomes: staged rows, rows that can't be read, and canonical rows by entity."""
    reader = PageReader(table, Redactor(b"golden"), vendor.sentinels, vendor.zone)
    page = reader.read(body)
    window = Window(page, page.rows.num_rows + len(page.dead), 0)
    staging = Staging(folder)
    path = stage(
        vendor, table, Span(date(2026, 11, 20)), iter([window]), reader, staging, datetime(2026, 11, 21, tzinfo=UTC)
    )
    write_faults(staging, path, FAULTS.empty_table())
    made = [result.entity for result in transform.transform(vendor, path, staging)]
    return {
        "staged": page.rows.to_pylist(),
        "dead": [{"key": row.key, "reasons": list(row.reasons)} for row in page.dead],
        "canonical": {
            entity: [row for part in transform.rows(staging, path, entity) for row in part.to_pylist()]
            for entity in made
        },
    }


def _text(value: object) -> str:
    return json.dumps(value, indent=1, default=str, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(("vendor", "table"), CASES)
def test_a_page_becomes_what_its_golden_says(vendor: Vendor, table: Table, tmp_path: Path) -> None:
    given = (HERE / vendor.name / f"{table.name}.json").read_bytes()
    expected = (HERE / vendor.name / f"{table.name}.expected.json").read_text()
    assert _text(become(vendor, table, given, str(tmp_path))) == expected


if __name__ == "__main__":
    for case in CASES:
        its_vendor, its_table = case.values
        target = HERE / its_vendor.name / f"{its_table.name}.expected.json"
        if not target.exists():
            with tempfile.TemporaryDirectory() as scratch:
                page_of_it = (HERE / its_vendor.name / f"{its_table.name}.json").read_bytes()
                target.write_text(_text(become(its_vendor, its_table, page_of_it, scratch)))
