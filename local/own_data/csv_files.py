"""Read CSV files as rows in the vendor's JSON form: numbers, true and false, nested objects and lists."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from include.contract import BOOLEAN, INTEGER, STRING, Report, Table, Vendor
from sandbox.own_data import Faults, Row

_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
Read = Callable[[str], Any]


def read_csv(path: Path, file: str, vendor: Vendor, table: Table | None, faults: Faults) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a CSV file whose header has the vendor's field names, each with the number of its first line.

    A cell is read by the declared type of its column: an empty cell is null, and `address.city` is the field of an object. A cell that does not
    have the form of its type stays a text, so that the check names it.

    Args:
        path: The file.
        file: Its name in faults.
        vendor: The declaration.
        table: The declared table; None if only the sandbox reads the file.
        faults: Receives a fault for every line that is not CSV, or has not one cell per column.
    """
    with path.open(encoding="utf-8-sig", errors="strict", newline="") as text:
        lines = csv.reader(text, strict=True)
        header, line = None, 1
        while True:
            try:
                cells = next(lines, None)
            except (csv.Error, UnicodeDecodeError) as error:
                faults.add(file, lines.line_num + 1, "", type(error).__name__, "CSV in UTF-8")
                return
            if cells is None:
                return
            if header is None:
                header = [name.strip() for name in cells]
                readers = [_choose_reader(name, vendor, table) for name in header]
            elif len(cells) != len(header) and cells:
                faults.add(file, line, "", f"{len(cells)} cells", f"{len(header)} cells, as many as the header has")
            elif any(cells):
                yield (
                    line,
                    _nest(zip(header, (read(cell) for read, cell in zip(readers, cells, strict=True)), strict=True)),
                )
            line = lines.line_num + 1


def _choose_reader(name: str, vendor: Vendor, table: Table | None) -> Read:
    """Return the reader of a column's cells. A field that its table does not declare has the type that it has in other tables."""
    if table is not None and isinstance(table.shape, Report):  # the vendor sends texts
        return lambda cell: cell
    tables = [table, *vendor.tables] if table is not None else vendor.tables
    col = next((col for each in tables for col in each.columns if col.source == name), None)
    if col is None or col.type == INTEGER:
        return lambda cell: int(cell) if _INTEGER.fullmatch(cell) and len(cell) < 19 else cell or None
    if col.type == BOOLEAN:
        return lambda cell: {"true": True, "false": False}.get(cell.lower(), cell or None)
    if col.type.startswith("decimal"):
        return lambda cell: Decimal(cell) if _NUMBER.fullmatch(cell) else cell or None
    return _read_text if col.type == STRING else lambda cell: cell or None


def _read_text(cell: str) -> Any:
    """Return a text, or the list or object whose JSON text it is."""
    if cell.startswith(("[", "{")):
        try:
            return json.loads(cell, parse_float=Decimal)
        except ValueError:
            return cell
    return cell or None


def _nest(cells: Iterator[tuple[str, Any]]) -> Row:
    """Return a row with its nested objects; an object without any value is null."""
    row: Row = {}
    for path, value in cells:
        *parents, name = path.split(".")
        place = row
        for parent in parents:
            place = place.setdefault(parent, {})
        place[name] = value
    return {name: _drop_empty(value) for name, value in row.items()}


def _drop_empty(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _drop_empty(each) for name, each in value.items()}
    return inner if any(each is not None for each in inner.values()) else None
