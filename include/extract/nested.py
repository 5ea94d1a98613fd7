"""Read the rows of a nested table, which are lists in columns of a parent table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.contract import Nested, Table
from include.extract.exact_json import dump, load
from include.extract.flatten import flatten_row, number_rows
from include.staging.partitions import Partition


def read_nested_rows(table: Table, shape: Nested, parent: Partition) -> Iterator[bytes]:
    """Yield the nested rows as JSON arrays of flat rows, one array per part of the parent's partition.

    A list that can't be read becomes a string in the array, so that the reader turns only this element into a dead row.
    """
    for _, part in parent.rows(sorted({*shape.columns, *_list_carried(table)})):
        rows = [each for row in part.to_pylist() for each in list_nested_rows(table, shape, row)]
        yield number_rows(dump(rows), table)


def list_nested_rows(table: Table, shape: Nested, row: Mapping[str, Any]) -> list[object]:
    """Return the nested rows of one row of the parent, as flat rows; a list that can't be read gives a string instead.

    Args:
        table: The nested table.
        shape: Its shape.
        row: The staged columns of the parent's row: those with the lists, and those that the nested table carries.
    """
    declared, rows = {col.source for col in table.columns}, list[object]()
    for column in shape.columns:
        context = {f"@{name}": row[name] for name in _list_carried(table)} | {"@in": column}
        carried = {name: value for name, value in context.items() if name in declared}
        try:
            walked = _walk(load(row[column] or "[]"), shape.through, {})
            rows += [_drop_undeclared(flatten_row(each, table.skipped), declared) | carried for each in walked]
        except (ValueError, TypeError, AttributeError, RecursionError):
            rows.append(f"a list in {column} can't be read")  # not an object, so only this row becomes dead
    return rows


def _walk(
    items: Sequence[Mapping[str, Any]], through: tuple[str, ...], texts: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the objects at the end of a path of list fields, each with the string and integer fields of its enclosing objects.

    Args:
        items: Objects of the outermost list.
        through: Fields of the inner lists, the outermost first; empty if `items` are the rows.
        texts: Fields of the enclosing objects so far: `^<name>` -> value.
    """
    for item in items:
        if not through:
            yield {**item, **texts}
            continue
        field, *rest = through
        passed = {f"^{name}": value for name, value in (*texts.items(), *item.items()) if isinstance(value, str | int)}
        yield from _walk(item.get(field) or [], tuple(rest), passed)


def _drop_undeclared(row: dict[str, Any], declared: set[str]) -> dict[str, Any]:
    """Return a row without the fields of enclosing objects (`^<name>`) that the table does not declare."""
    return {name: value for name, value in row.items() if not name.startswith("^") or name in declared}


def _list_carried(table: Table) -> tuple[str, ...]:
    """Return the parent's columns that the nested table carries."""
    return (*table.carried, *(("requested_at",) if any(col.source == "@requested_at" for col in table.columns) else ()))
