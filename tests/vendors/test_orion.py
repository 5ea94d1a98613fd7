"""What only Orion needs: its own words for what ours are, and that its suite knows the same ones."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.sandbox import holdings
from include.sensitive import Redactor
from include.staging import Staging
from include.validation.check import validate_day
from include.validation.rows import faults_of
from include.validation.suite import read_suite
from include.vendors.orion import DIRECTIONS, FLOWS, ORION, STATUSES, flow, signed, status


def values_of(column: str) -> list[str]:
    """The values that the suite of the transactions allows in a column."""
    [expectation] = [
        e
        for e in read_suite(ORION.name, "transactions")
        if e.type == "expect_column_values_to_be_in_set" and e.column == column
    ]
    assert expectation.level == "row"
    values: list[str] = expectation.kwargs["value_set"]
    return values


@pytest.mark.parametrize(("column", "ours"), [("status", STATUSES), ("type_code", DIRECTIONS)])
def test_suite_and_vendor_file_know_the_same_words(column: str, ours: dict[str, object]) -> None:
    assert sorted(values_of(column)) == sorted(ours)


def test_sandbox_emits_known_words_only() -> None:
    kinds = [kind for kind in vars(holdings).values() if isinstance(kind, holdings.Kind)]
    assert {kind.code: kind.sign for kind in kinds} == DIRECTIONS
    assert {kind.financial_type for kind in kinds} <= {*FLOWS, "Other"}
    statuses = {holdings.COMPLETE, holdings.PENDING, holdings.REVERSED, holdings.REJECTED, holdings.INACTIVE}
    assert statuses <= set(STATUSES)


def test_row_with_an_unknown_status_or_code_is_a_dead_letter_that_names_the_expectation(tmp_path: Path) -> None:
    row = json.loads((Path(__file__).parent / ORION.name / "transactions.json").read_text())[1]
    rows = [row, row | {"id": row["id"] + 1, "status": "Settled"}, row | {"id": row["id"] + 2, "typeCode": "XYZ"}]
    table, staging = ORION.table("transactions"), Staging(str(tmp_path))
    reader = PageReader(table, Redactor(b"only for tests"), ORION.sentinels, ORION.zone)
    window = Window(reader.read(json.dumps(rows).encode()), len(rows), 0)
    now = datetime(2026, 11, 21, tzinfo=UTC)
    path = stage(ORION, table, Span(date(2026, 11, 20)), iter([window]), reader, staging, now)
    validate_day(ORION, {table.name: path}, staging, {}, rows_only=True)
    assert {fault["row_key"]: fault["expectations"] for fault in faults_of(staging, path).to_pylist()} == {
        str(row["id"] + 1): ["expect_column_values_to_be_in_set(status)"],
        str(row["id"] + 2): ["expect_column_values_to_be_in_set(type_code)"],
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Contribution", "contribution"), ("Distribution", "distribution"), ("MgmntFees", "fee"), ("MiscFees", "fee"),
        ("DivCash", "income"), ("DivReinvest", "income"), ("Journal", "transfer"), ("Exchange", "other"),
        ("Merges", "other"), ("Other", "other"), ("of no document", "other"), ("None", None), (None, None),
    ],
)  # fmt: skip
def test_financial_type_becomes_our_flow(theirs: str | None, ours: str | None) -> None:
    assert flow(pa.array([theirs], pa.string())).to_pylist() == [ours]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Complete", "posted"), ("Pending", "pending"), ("PendingCorpAction", "pending"), ("FutureAip", "pending"),
        ("Reversed", "reversed"), ("Inactive", "cancelled"), ("Rejected", "cancelled"),
    ],
)  # fmt: skip
def test_status_becomes_ours(theirs: str, ours: str) -> None:
    assert status(pa.array([theirs])).to_pylist() == [ours]


def test_direction_follows_from_the_code() -> None:
    codes: Any = list(DIRECTIONS)
    assert signed(pa.array([5] * len(codes)), pa.array(codes)).to_pylist() == [5 * DIRECTIONS[code] for code in codes]
