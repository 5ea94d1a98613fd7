"""A table of every kind of column, and the reader of its pages."""

from __future__ import annotations

import json
from typing import Any

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    QUANTITY,
    STRING,
    TIMESTAMP,
    Table,
    column,
    ignored,
    sensitive,
)
from include.extract.page import Page, PageReader
from include.sensitive import Redactor

TABLE = Table(
    name="rows",
    path="Some/Rows",
    key=("row_id",),
    columns=(
        column("row_id", "id", INTEGER, required=True),
        column("amount_usd", "amount", MONEY, required=True, rounded=True),
        column("quantity", "units", QUANTITY),
        column("name", "fullName", STRING),
        column("is_active", "isActive", BOOLEAN),
        column("born_date", "dob", DATE),
        column("edited_at", "editedDate", TIMESTAMP),
        sensitive("tax_id", "ssn"),
        *ignored("leftBehind", INTEGER),
        *ignored("oldSsn"),
    ),
)
REDACTOR = Redactor(b"only for tests")
SSN = "123-45-6789"


def new_reader() -> PageReader:
    return PageReader(TABLE, REDACTOR, ("0001-01-01",), "America/Chicago", "testbank")


def read(body: str | list[Any]) -> Page:
    text = body if isinstance(body, str) else json.dumps(body)
    return new_reader().read(text.encode())


def row(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"id": number, "amount": 1} | fields


def values(page: Page, name: str) -> list[Any]:
    cells: list[Any] = page.rows.column(name).to_pylist()
    return cells
