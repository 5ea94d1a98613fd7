"""Your own data from files (`docs/reference/own_data.md`): check it before the sandbox serves it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from sandbox.vendors import VENDORS

_LONG = re.compile(rb"\d{19}")


def count_rows(folder: Path) -> dict[str, dict[str, int]]:
    """Check every file, and return its number of rows: `{vendor: {table: count}}`.

    The result omits vendors without a folder and tables without a file.

    Raises:
        ValueError: a line can't be served; the message has the file and the line number.
    """
    return {
        vendor.name: {
            table: _count(path, needed, vendor.read)
            for table, needed in vendor.own_data.items()
            if (path := folder / vendor.name / f"{table}.jsonl").is_file()
        }
        for vendor in VENDORS
        if (folder / vendor.name).is_dir()
    }


def describe(folder: Path) -> Iterator[str]:
    """Yield a report on `folder`: one line per vendor with its tables, then the synthetic vendors, then unread files.

    Raises:
        ValueError: a line can't be served.
    """
    counted = count_rows(folder)
    tables = {vendor.name: vendor.own_data for vendor in VENDORS}
    for vendor, rows in counted.items():
        counts = ", ".join(f"{table} {count:,}" for table, count in rows.items()) or "no table"
        missing = ", ".join(table for table in tables[vendor] if table not in rows)
        yield f"{vendor}: {counts}" + (f"; missing files (empty tables): {missing}" if missing else "")
    yield "synthetic: " + (", ".join(vendor for vendor in tables if vendor not in counted) or "nothing")
    read = {folder / vendor / f"{table}.jsonl" for vendor, rows in counted.items() for table in rows}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in read)
    if files:
        yield "files not read: " + ", ".join(str(path.relative_to(folder)) for path in files[:10])


def _count(path: Path, needed: tuple[str, ...], readers: Mapping[str, Callable[[Any], Any]]) -> int:
    rows = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows += 1
                if fault := _find_fault(line, needed, readers):
                    raise ValueError(f"{path}, line {number}: {fault}")
    return rows


def _find_fault(line: bytes, needed: tuple[str, ...], readers: Mapping[str, Callable[[Any], Any]]) -> str:
    """Return the reason why a line can't be served, or an empty text if it can."""
    try:
        row = orjson.loads(line)
    except ValueError as error:
        return f"not JSON: {error}"
    if not isinstance(row, dict):
        return "not a JSON object"
    for name in needed:
        if row.get(name) is None:
            return f"no {name}"
    if _LONG.search(line):
        for name, value in json.loads(line, parse_float=str).items():
            if _has_wide(value):
                return f"{name}: an integer beyond 64 bits"
    for name, read in readers.items():
        try:
            if row.get(name) is not None:
                read(row[name])
        except (ValueError, TypeError) as error:
            return f"{name}: {error}"
    return ""


def _has_wide(value: Any) -> bool:
    """Return whether a value is or contains an integer beyond 64 bits, which the sandbox can't write as JSON."""
    if isinstance(value, dict | list):
        return any(map(_has_wide, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64
