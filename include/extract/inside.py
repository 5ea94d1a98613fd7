"""Rows that came inside the rows of another table, as a list in one of its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from include.contract import Inside, Table
from include.extract.exact_json import dump, load
from include.extract.flatten import flat, numbered
from include.staging.partitions import Staging


def rows_inside(table: Table, shape: Inside, staged: str, staging: Staging) -> Iterator[bytes]:
    """Yields the rows as JSON arrays, one for each part of the other table's partition; a list that is none is a dead row."""
    names = [*table.carried, *_asked_at(table)]
    declared = {col.source for col in table.columns}
    for _, part in staging.rows(staged, sorted({*shape.columns, *names})):
        rows: list[object] = []
        for row in part.to_pylist():
            for column in shape.columns:
                told = {f"@{name}": row[name] for name in names} | {"@in": column}
                carried = {name: value for name, value in told.items() if name in declared}
                try:
                    walked = _walk(load(row[column] or "[]"), shape.through, {})
                    rows += [_kept(flat(each, table.skipped), declared) | carried for each in walked]
                except (ValueError, TypeError, AttributeError, RecursionError):
                    rows.append(f"a list in {column} can't be read")  # no object: it dies, and its neighbours don't
        yield numbered(dump(rows), table)


def _walk(
    items: Sequence[Mapping[str, Any]], through: tuple[str, ...], texts: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The rows at the end of the path, each with the texts on the way to it."""
    for item in items:
        if not through:
            yield {**item, **texts}
            continue
        field, *rest = through
        passed = {f"^{name}": value for name, value in (*texts.items(), *item.items()) if isinstance(value, str | int)}
        yield from _walk(item.get(field) or [], tuple(rest), passed)


def _kept(row: dict[str, Any], declared: set[str]) -> dict[str, Any]:
    """A row without what it was told on the way and does not ask for."""
    return {name: value for name, value in row.items() if not name.startswith("^") or name in declared}


def _asked_at(table: Table) -> tuple[str, ...]:
    return ("asked_at",) if any(col.source == "@asked_at" for col in table.columns) else ()
