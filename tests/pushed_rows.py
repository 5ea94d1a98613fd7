"""Whole rows of any table, as a caller pushes them."""

from __future__ import annotations

from typing import Any

from include.contract import BOOLEAN, DATE, INTEGER, PAIRS, TIMESTAMP, Column, Table
from include.extract.pushed import stated_columns


def sample_value(col: Column) -> object:
    if col.type == INTEGER:
        return 1
    if col.type == BOOLEAN:
        return True
    if col.type == DATE:
        return "2026-11-20"
    if col.type == TIMESTAMP:
        return "2026-11-20T15:00:00Z"
    if col.type == PAIRS:
        return []
    return 1.25 if col.type.startswith("decimal") else "1"


def whole_row(table: Table, **values: object) -> dict[str, Any]:
    """Build a row with every field: optional ones null, `values` override, and `...` omits a field."""
    row: dict[str, Any] = {}
    for col in stated_columns(table):
        value = values.get(col.source, sample_value(col) if col.required else None)
        if value is ...:
            continue
        *way, last = col.source.split(".") if table.has_objects else [col.source]
        holder = row
        for name in way:
            holder = holder.setdefault(name, {})
        holder[last] = value
    return row
