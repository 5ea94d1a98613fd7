"""Read rows that are nested in the rows of a parent table, as a list in one of its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.contract import Nested, Table
from include.extract.exact_json import dump, load
from include.extract.flatten import flatten_row, number_rows
from include.staging.partitions import Partition


def read_nested_rows(table: Table, shape: Nested, parent: Partition) -> Iterator[bytes]:
    """Yield the nested rows as JSON arrays, one per part of the parent's partition; an invalid list becomes a dead row."""
    names = [*table.carried, *_list_requested_at(table)]
    declared = {col.source for col in table.columns}
    for _, part in parent.rows(sorted({*shape.columns, *names})):
        rows: list[object] = []
        for row in part.to_pylist():
            for column in shape.columns:
                context = {f"@{name}": row[name] for name in names} | {"@in": column}
                carried = {name: value for name, value in context.items() if name in declared}
                try:
                    walked = _walk(load(row[column] or "[]"), shape.through, {})
                    rows += [_drop_undeclared(flatten_row(each, table.skipped), declared) | carried for each in walked]
                except (ValueError, TypeError, AttributeError, RecursionError):
                    rows.append(f"a list in {column} can't be read")  # not an object, so only this row becomes dead
        yield number_rows(dump(rows), table)


def _walk(
    items: Sequence[Mapping[str, Any]], through: tuple[str, ...], texts: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the rows at the end of the path, each with the string and integer fields of its enclosing objects."""
    for item in items:
        if not through:
            yield {**item, **texts}
            continue
        field, *rest = through
        passed = {f"^{name}": value for name, value in (*texts.items(), *item.items()) if isinstance(value, str | int)}
        yield from _walk(item.get(field) or [], tuple(rest), passed)


def _drop_undeclared(row: dict[str, Any], declared: set[str]) -> dict[str, Any]:
    """Drop the fields of enclosing objects that the table does not declare."""
    return {name: value for name, value in row.items() if not name.startswith("^") or name in declared}


def _list_requested_at(table: Table) -> tuple[str, ...]:
    return ("requested_at",) if any(col.source == "@requested_at" for col in table.columns) else ()
