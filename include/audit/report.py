"""Write rows as an aligned table, as CSV, or as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def format_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as a table of aligned columns with a header. Control characters become `?`, so that a terminal does not obey them."""
    lines = [list(columns), *([_show(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def format_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return rows as CSV with a header. A text that a spreadsheet would run as a formula gets an apostrophe in front."""
    return "".join(stream_csv([rows], columns)).rstrip("\n")


def stream_csv(batches: Iterable[Iterable[Mapping[str, Any]]], columns: Sequence[str]) -> Iterator[str]:
    """Yield batches of rows as CSV, as `format_csv` writes them: the header, then the lines of each batch."""
    yield _write_lines([columns])
    for rows in batches:
        yield _write_lines([_write_cell(row.get(column)) for column in columns] for row in rows)


def format_json(content: Any) -> str:
    """Return content as JSON; decimals and times as texts."""
    return json.dumps(content, indent=2, default=str, ensure_ascii=False)


def _show(value: Any) -> str:
    text = "" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(char if char.isprintable() else "?" for char in text)


def _write_lines(lines: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _write_cell(value: Any) -> str:
    text = _show(value)
    is_formula = isinstance(value, (str, list)) and text.startswith(("=", "+", "-", "@"))
    return f"'{text}" if is_formula else text
