"""A vendor-day of two tables, staged as by a pull, with the test's own suites."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    QUANTITY,
    STRING,
    TIMESTAMP,
    Basic,
    Budget,
    Table,
    Vendor,
    column,
)
from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.sensitive import Redactor
from include.staging.partitions import Partition, Staging
from include.validation.check import Outcome, validate_day

ACCOUNTS = Table(
    "accounts", "Accounts", ("account_id",), (column("account_id", "id", INTEGER, required=True),
    column("value_usd", "value", MONEY)), money="value_usd",
)  # fmt: skip
ASSETS = Table(
    name="assets",
    path="Assets",
    key=("asset_id",),
    money="amount_usd",
    references={"account_id": "accounts"},
    agrees=("account_id", "accounts", "value_usd"),
    as_of="as_of_date",
    columns=(
        column("asset_id", "id", INTEGER, required=True),
        column("account_id", "accountId", INTEGER),
        column("quantity", "units", QUANTITY),
        column("amount_usd", "amount", MONEY),
        column("ticker", "ticker", STRING),
        column("is_cash", "isCash", BOOLEAN),
        column("as_of_date", "asOf", DATE),
        column("edited_at", "edited", TIMESTAMP),
    ),
)
VENDOR = Vendor("testbank", "Testbank", "", Basic(), (ACCOUNTS, ASSETS), (), "0 6 * * *", Budget(60))
DAY = date(2026, 11, 20)
BETWEEN = "expect_column_values_to_be_between"


def row(type_: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": type_, "kwargs": kwargs, "meta": {"level": "row", "notes": "why"}}


def batch(column: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": BETWEEN, "kwargs": {"column": column, **kwargs}, "meta": {"level": "batch"}}


@dataclass
class Day:
    """A vendor-day of two tables, staged as by a pull, with the test's own suites."""

    staging: Staging
    suites: Path
    recent: Sequence[int] = ()
    partitions: dict[str, Partition] | None = None
    vendor: Vendor = VENDOR

    def suite(self, *expectations: dict[str, Any], table: str = "assets", text: str | None = None) -> None:
        written = text or json.dumps({"name": table, "expectations": expectations})
        (self.suites / f"testbank__{table}.json").write_text(written)

    def stage(self, table: Table, rows: str | Sequence[dict[str, Any]]) -> None:
        reader = PageReader(table, Redactor(b"only for tests"))
        whole = [{c.source: None for c in table.columns} | each for each in rows if isinstance(each, dict)]
        body = rows if isinstance(rows, str) else json.dumps(whole)
        page = reader.read(body.encode())
        windows = iter([Window(page, page.rows.num_rows + len(page.dead), 0)])
        partition = stage(VENDOR, table, Span(DAY), windows, reader, self.staging, datetime.now(UTC))
        self.partitions = (self.partitions or {}) | {table.name: partition}

    def validate(self, **options: Any) -> dict[str, Outcome]:
        assert self.partitions is not None
        for table in self.partitions:
            if not (self.suites / f"testbank__{table}.json").exists():
                self.suite(table=table)
        return validate_day(self.vendor, self.partitions, {"assets": self.recent}, **options)

    def read_rejected(self) -> dict[str, list[str]]:
        """Map the key of each rejected asset to the expectations that it failed."""
        assert self.partitions is not None
        faults = self.partitions["assets"].faults.to_pylist()
        return {fault["row_key"]: fault["expectations"] for fault in faults}


def asset(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": number, "accountId": 1, "amount": 1, "asOf": str(DAY)} | fields
