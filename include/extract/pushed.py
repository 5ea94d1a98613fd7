"""Check rows that API callers push: each row must contain every staged field, with null for no value.

A vendor may omit null fields if the table declares it (`omits_nulls`). A caller may not. A caller that omits a field may simply not
have mapped it, so a missing field does not mean null. The row is rejected, and no stored value is overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.contract import BOOLEAN, INTEGER, PAIRS, Column, Table

ABSENT = "absent"
MOST_REJECTED = 1_000
"""Maximum number of rejected rows that the outcome of a push lists."""
_INT64 = range(-(2**63), 2**63)


def stated_columns(table: Table) -> list[Column]:
    """Return the columns whose source fields every pushed row must contain: all staged ones, without those that Tributary fills."""
    return [col for col in table.columns if col.kind != "ignored" and col.source[0] not in "@^"]


def expand(table: Table, row: dict[str, Any]) -> None:
    """Expand null objects of a flat row in place: replace `{"address": null}` by `{"address.city": null, ...}`."""
    nulls = {name for name, value in row.items() if value is None}
    for col in stated_columns(table):
        *above, _ = _list_ancestors(col.source)
        if col.source not in row and nulls.intersection(above):
            row[col.source] = None
    for name in nulls - {col.source for col in table.columns}:
        if any(col.source.startswith(f"{name}.") for col in table.columns):
            del row[name]


def find_absent(table: Table, row: Mapping[str, Any]) -> list[str]:
    """Return the source fields of `stated_columns` that a flat row does not contain; a field with null counts as contained."""
    return [col.source for col in stated_columns(table) if col.source not in row]


def find_faults(table: Table, row: Mapping[str, Any]) -> list[str]:
    """Return the faults of a flat row: absent fields, nulls in required columns, wrong JSON types. A fault never contains the value.

    This function does not check the notation of texts, such as dates and numbers. Staging checks it later, and finds these faults again.
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
    """Return the paths of a field's enclosing objects, outermost first, then the field's own: `a`, `a.b`, `a.b.c` for `a.b.c`."""
    parts = source.split(".")
    return [".".join(parts[: n + 1]) for n in range(len(parts))]
