"""A table of two columns in every way in which a vendor serves pages, and its rows."""

from __future__ import annotations

from typing import Any

from include.contract import INTEGER, STRING, Linked, Numbered, Positioned, Table, column
from tests.extract.vendor_server import vendor_of

COLUMNS = (column("row_id", "id", INTEGER, required=True), column("name", "name", STRING))
NUMBERED = Table("rows", "rows", ("row_id",), COLUMNS, shape=Numbered("page", "pageSize"), page_rows=3)
POSITIONED = Table(
    "rows", "rows", ("row_id",), COLUMNS, shape=Positioned("start_position", "count"), rows="items", page_rows=3
)
CURSOR = Table(
    "rows",
    "rows",
    ("row_id",),
    COLUMNS,
    shape=Linked("page.nextCursor", "pageSize", "cursor"),
    rows="items",
    page_rows=3,
)
LINKED = Table("rows", "rows", ("row_id",), COLUMNS, shape=Linked("next", "limit"), rows="items", page_rows=3)
VENDOR = vendor_of(NUMBERED)


def rows_of(*ids: int) -> list[dict[str, Any]]:
    return [{"id": n, "name": f"row {n}"} for n in ids]
