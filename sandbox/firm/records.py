"""A vendor's records by client: generated from the firm or read from files, with edits applied.

A file is `<vendor>/<table>.jsonl`, one vendor object per line. If the vendor's object does not contain its client's key,
the line has it in an additional field, which is not served (`Table.hidden`).
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from sandbox.firm.edits import Edit
from sandbox.firm.world import World

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a vendor.

    Attributes:
        key: Field with the key of the row's client (or household).
        id: Field that identifies a row.
        hidden: Fields that are not served.
    """

    key: str
    id: str
    hidden: tuple[str, ...] = ()


class Source(Protocol):
    """A source of rows."""

    @property
    def keys(self) -> Mapping[Any, Any]:
        """Return every client, in the order of the vendor's list."""
        ...

    def read_rows(self, table: str, key: Any) -> Iterable[Row]:
        """Return the rows of one client, hidden fields and all."""
        ...


class GeneratedRecords:
    """The synthetic firm, as one vendor records it.

    Args:
        numbers: The vendor's key -> number of the household.
        writers: Table -> function that returns the rows of one household by its number.
    """

    def __init__(self, numbers: Mapping[Any, int], writers: Mapping[str, Callable[[int], Iterable[Row]]]) -> None:
        self.keys, self._writers = numbers, writers

    def read_rows(self, table: str, key: Any) -> Iterable[Row]:
        """Return the rows of one household as of the last closed day."""
        return self._writers[table](self.keys[key])


class Files:
    """Data from files, read once.

    Raises:
        ValueError: a line is not a JSON object with a key.
    """

    def __init__(self, folder: Path, tables: Mapping[str, Table]) -> None:
        self._rows: dict[str, dict[Any, list[Row]]] = {name: {} for name in tables}
        for name, table in tables.items():
            path = folder / f"{name}.jsonl"
            for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), 1):
                try:
                    row = json.loads(line, parse_float=Decimal)
                    self._rows[name].setdefault(row[table.key], []).append(row)
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(f"{path}, line {number}: not one JSON object with {table.key}") from error
        clients = next(iter(tables))
        self.keys = dict(sorted(self._rows[clients].items()))

    def read_rows(self, table: str, key: Any) -> Iterable[Row]:
        """Return the lines of one client."""
        return [dict(row) for row in self._rows[table].get(key, ())]


def list_needed(tables: Mapping[str, Table]) -> dict[str, tuple[str, ...]]:
    """Return the fields that each line of your own data must have, by table."""
    return {name: tuple(dict.fromkeys((each.key, each.id, *each.hidden))) for name, each in tables.items()}


class Records:
    """The data of one vendor's API. The first of `tables` is the list of its clients."""

    def __init__(self, world: World, vendor: str, tables: Mapping[str, Table], source: Source) -> None:
        self.world, self.vendor, self.tables, self.source = world, vendor, tables, source
        self.clients = next(iter(tables))

    def list_keys(self) -> list[Any]:
        """Return every client who was not deleted."""
        deleted = self._find_deleted(self.clients)
        return [key for key in self.source.keys if str(key) not in deleted]

    def has(self, key: Any) -> bool:
        """Return whether a client exists."""
        return key in self.source.keys and str(key) not in self._find_deleted(self.clients)

    def read(self, table: str, key: Any, **filters: str) -> list[Row]:
        """Return one client's rows whose fields equal `filters`, as the vendor serves them."""
        declared, deleted = self.tables[table], self._find_deleted(table)
        with self.world.lock:
            rows = list(self.source.read_rows(table, key))
        row_edits = self._find_row_edits(table)
        served = []
        for row in rows:
            id_ = str(row[declared.id])
            row |= row_edits.get(id_, {})
            if id_ not in deleted and all(str(row[name]) == value for name, value in filters.items()):
                served.append({name: value for name, value in row.items() if name not in declared.hidden})
        return served

    def _find_deleted(self, table: str) -> set[str]:
        return {str(edit["id"]) for edit in self._list_edits(table) if edit["kind"] == "delete"}

    def _find_row_edits(self, table: str) -> dict[str, Row]:
        row_edits: dict[str, Row] = {}
        for edit in self._list_edits(table):
            if edit["kind"] == "set_fields":
                row_edits.setdefault(str(edit["id"]), {}).update(edit["set"])
        return row_edits

    def _list_edits(self, table: str) -> list[Edit]:
        edits = self.world.edits.all
        return [edit for edit in edits if edit.get("vendor") == self.vendor and edit.get("table") == table]


def store_edit(world: World, vendor: str, tables: Mapping[str, Table], kind: str, values: Mapping[str, Any]) -> Edit:
    """Store a `set_fields` (table, id, set) or a `delete` (table, id). Return the stored edit.

    Raises:
        KeyError, ValueError: the edit is unknown, or a value is missing.
    """
    if kind not in ("set_fields", "delete"):
        raise ValueError(f"unknown edit {kind!r}")
    edit: Edit = {"vendor": vendor, "kind": kind, "at": world.clock.now().isoformat(), "table": values["table"]}
    edit |= {"id": values["id"]} | ({"set": dict(values["set"])} if kind == "set_fields" else {})
    _ = tables[edit["table"]]
    with world.lock:
        world.edits.append(edit)
    return edit
