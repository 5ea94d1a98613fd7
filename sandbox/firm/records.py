"""A vendor's records, grouped by client: generated from the firm or read from files, with edits applied.

A file is `<vendor>/<table>.jsonl`, one vendor object per line. Each line needs the key of its client. If the vendor's object has
no such field, the line has an extra field, which responses omit (`Table.hidden`).
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
        key: Field with the key of the row's client or household.
        id: Field that identifies a row.
        hidden: Fields that responses omit.
    """

    key: str
    id: str
    hidden: tuple[str, ...] = ()


class Source(Protocol):
    """A source of a vendor's rows: the generated firm or files."""

    @property
    def keys(self) -> Mapping[Any, Any]:
        """Return a mapping whose keys are the clients' keys, in the order of the vendor's list. The values are internal."""
        ...

    def read_rows(self, table: str, key: Any) -> Iterable[Row]:
        """Return the rows of one client, including hidden fields."""
        ...


class GeneratedRecords:
    """The synthetic firm's households as one vendor's records.

    Args:
        numbers: Number of the household in the firm, by the vendor's key.
        writers: Function that returns a household's rows, by table. It takes the number of the household.
    """

    def __init__(self, numbers: Mapping[Any, int], writers: Mapping[str, Callable[[int], Iterable[Row]]]) -> None:
        self.keys, self._writers = numbers, writers

    def read_rows(self, table: str, key: Any) -> Iterable[Row]:
        """Return the rows of one household as of the last closed day, including hidden fields."""
        return self._writers[table](self.keys[key])


class Files:
    """A vendor's records from files, all read at the start.

    Raises:
        ValueError: a line is not a JSON object, or lacks the table's key field.
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
        """Return copies of one client's rows, in the order of the file; empty for an unknown client."""
        return [dict(row) for row in self._rows[table].get(key, ())]


def list_needed(tables: Mapping[str, Table]) -> dict[str, tuple[str, ...]]:
    """Return the required fields of each line of your own data, by table."""
    return {name: tuple(dict.fromkeys((each.key, each.id, *each.hidden))) for name, each in tables.items()}


class Records:
    """The data of one vendor's API, with edits applied. The first table in `tables` lists the vendor's clients."""

    def __init__(self, world: World, vendor: str, tables: Mapping[str, Table], source: Source) -> None:
        self.world, self.vendor, self.tables, self.source = world, vendor, tables, source
        self.clients = next(iter(tables))

    def list_keys(self) -> list[Any]:
        """Return the keys of all clients that were not deleted, in the order of the vendor's list."""
        deleted = self._find_deleted(self.clients)
        return [key for key in self.source.keys if str(key) not in deleted]

    def has(self, key: Any) -> bool:
        """Return whether a client exists and was not deleted."""
        return key in self.source.keys and str(key) not in self._find_deleted(self.clients)

    def read(self, table: str, key: Any, **filters: str) -> list[Row]:
        """Return one client's rows as the vendor serves them: with edits, without deleted rows and hidden fields.

        `filters` selects rows by field: the field's value, as text, must equal the given text.
        """
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
    """Store an edit of one row, and return it: `set_fields` (table, id, set) or `delete` (table, id).

    Raises:
        KeyError: the table is unknown, or a value is missing.
        ValueError: the kind is unknown.
    """
    if kind not in ("set_fields", "delete"):
        raise ValueError(f"unknown edit {kind!r}")
    edit: Edit = {"vendor": vendor, "kind": kind, "at": world.clock.now().isoformat(), "table": values["table"]}
    edit |= {"id": values["id"]} | ({"set": dict(values["set"])} if kind == "set_fields" else {})
    _ = tables[edit["table"]]
    with world.lock:
        world.edits.append(edit)
    return edit
