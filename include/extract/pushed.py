"""Check rows that API callers push: each must state every staged field, with null for no value.

A vendor may omit null fields if its declaration says so (`omits_nulls`). A caller that omits a field may not know or map it, so a
missing field is not null: the row is rejected, and overwrites nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.contract import BOOLEAN, INTEGER, PAIRS, Column, Table

ABSENT = "absent"
MOST_REJECTED = 1_000
"""Maximum number of rejected rows that are listed one by one."""
_INT64 = range(-(2**63), 2**63)


def stated_columns(table: Table) -> list[Column]:
    """Return the columns that every pushed row must state, under the vendor's field names."""
    return [col for col in table.columns if col.kind != "ignored" and col.source[0] not in "@^"]


def expand(table: Table, row: dict[str, Any]) -> None:
    """Expand null objects of a flat row in place: `{"address": null}` means that `address.city` is null."""
    nulls = {name for name, value in row.items() if value is None}
    for col in stated_columns(table):
        *above, _ = _list_ancestors(col.source)
        if col.source not in row and nulls.intersection(above):
            row[col.source] = None
    for name in nulls - {col.source for col in table.columns}:
        if any(col.source.startswith(f"{name}.") for col in table.columns):
            del row[name]


def find_absent(table: Table, row: Mapping[str, Any]) -> list[str]:
    """Return the fields that a flat row does not state."""
    return [col.source for col in stated_columns(table) if col.source not in row]


def find_faults(table: Table, row: Mapping[str, Any]) -> list[str]:
    """Return the faults of a flat row that its JSON types show: absent fields, missing values, wrong types; never a value.

    Staging finds the same faults. Only staging also checks the notation of texts, such as dates and numbers.
    """
    faults = []
    for col in stated_columns(table):
        if col.source not in row:
            faults.append(f"{col.source}: {ABSENT}")
        elif row[col.source] is None:
            if col.required:
                faults.append(f"{col.source}: missing")
        elif not _is_of_kind(col, row[col.source]):
            faults.append(f"{col.source}: not {col.type}")
    return faults


def _is_of_kind(col: Column, value: object) -> bool:
    if col.type == INTEGER:
        return type(value) is int and value in _INT64
    if col.type == BOOLEAN:
        return isinstance(value, bool)
    if col.type == PAIRS:
        return isinstance(value, (list, str))
    if col.type.startswith("decimal"):
        return isinstance(value, (int, float, str)) and not isinstance(value, bool)
    return isinstance(value, str)


def _list_ancestors(source: str) -> list[str]:
    """Return the paths of a field's enclosing objects, outermost first, and of the field: `a`, `a.b`, `a.b.c`."""
    parts = source.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]
