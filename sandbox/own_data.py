"""Your own data from files (`docs/reference/own_data.md`): check it before the sandbox serves it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from sandbox.vendor import SimulatedVendor
from sandbox.vendors import VENDORS

MOST = 20
"""Maximum number of faults of one kind that are listed."""
_VALUE_LENGTH = 40
Row = dict[str, Any]


class Faults:
    """Faults in files: the first `MOST` of each kind, and the number of all. A kind is a file, a column and the correct form.

    Attributes:
        unserved: Number of faults for which the sandbox can't serve a line.
    """

    def __init__(self) -> None:
        self.unserved = 0
        self._kinds: dict[tuple[str, str, str], list[str]] = {}
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def __len__(self) -> int:
        """Return the number of all faults."""
        return self._counts.total()

    def add(self, file: str, line: int, column: str, value: str, expected: str, *, is_served: bool = False) -> None:
        """Add a fault.

        Args:
            file: The file, relative to the folder of all files.
            line: Number of the line, from 1; 0 if the fault is in no single line.
            column: The column, in the vendor's name; empty for the whole line.
            value: The value, as `show` returns it; empty for a value that is missing.
            expected: The correct form.
            is_served: Whether the sandbox can serve the line all the same.
        """
        self.unserved += not is_served
        kind = (file, column, expected)
        self._counts[kind] += 1
        if self._counts[kind] <= MOST:
            place = ", ".join(filter(None, (file, f"line {line}" if line else "", column)))
            self._kinds.setdefault(kind, []).append(f"{place}: {value or 'nothing'}; expected {expected}")

    def list(self) -> Iterator[str]:
        """Yield the faults by file, one line each: file, line, column, value and correct form; after the first of a kind, how many there are more."""
        for kind, lines in sorted(self._kinds.items(), key=lambda each: each[0][0]):
            yield from lines
            file, column, expected = kind
            if more := self._counts[kind] - len(lines):
                yield f"{', '.join(filter(None, (file, column)))}: {more:,} more; expected {expected}"


def show(value: object) -> str:
    """Return a value as text for a fault, cut to 40 characters; empty for a missing value."""
    if value is None:
        return ""
    text = json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, str | dict | list) else str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[:_VALUE_LENGTH]}..."


def read_lines(path: Path, file: str, faults: Faults) -> Iterator[tuple[int, Row]]:
    """Yield the objects of a file of JSON lines, each with the number of its line; add a fault for every other line."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = json.loads(line.decode(), parse_float=Decimal, parse_constant=_refuse)
                except (ValueError, RecursionError):
                    faults.add(
                        file, number, "", show(line.decode(errors="replace").strip()), "one JSON object in UTF-8"
                    )
                    continue
                if isinstance(row, dict):
                    yield number, row
                else:
                    faults.add(file, number, "", show(row), "a JSON object")


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def check_row(vendor: SimulatedVendor, table: str, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the faults for which the sandbox can't serve a row, each as the column and the correct form."""
    for name in vendor.own_data[table]:
        if row.get(name) is None:
            yield name, "a value: every line must have one"
    for name, value in row.items():
        if _has_wide(value):
            yield name, "integers of at most 64 bits"
    for name, form in vendor.read.items():
        try:
            if row.get(name) is not None:
                form.read(row[name])
        except (ValueError, TypeError):
            yield name, form.expected


def _has_wide(value: Any) -> bool:
    """Return whether a value is or contains an integer beyond 64 bits, which the sandbox can't write as JSON."""
    if isinstance(value, dict | list):
        return any(map(_has_wide, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def count_rows(folder: Path) -> dict[str, dict[str, int]]:
    """Check every file, and return its number of rows: `{vendor: {table: count}}`.

    The result omits vendors without a folder and tables without a file.

    Raises:
        ValueError: lines can't be served; the message lists them, with file, line, column, value and correct form.
    """
    faults = Faults()
    counts = {
        vendor.name: {
            table: _count(vendor, table, path, faults)
            for table in vendor.own_data
            if (path := folder / vendor.name / f"{table}.jsonl").is_file()
        }
        for vendor in VENDORS
        if (folder / vendor.name).is_dir()
    }
    if faults:
        raise ValueError("\n".join([f"{folder} can't be served, faults: {len(faults):,}", *faults.list()]))
    return counts


def _count(vendor: SimulatedVendor, table: str, path: Path, faults: Faults) -> int:
    rows, file = 0, f"{vendor.name}/{path.name}"
    for line, row in read_lines(path, file, faults):
        rows += 1
        for column, expected in check_row(vendor, table, row):
            faults.add(file, line, column, show(row.get(column)), expected)
    return rows
