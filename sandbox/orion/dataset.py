"""Orion's data from files instead of the synthetic firm, and the export of the synthetic firm to such files.

The files are `orion/<table>.jsonl`, one object per line in Orion's field names. The tables are `ORION_TABLES`. A missing file is an
empty table.

- A row about one day has that day in `asOfDate`. All lines of `assets.jsonl` have one. Lines of `accounts.jsonl` have one if there
  are values for several days.
- A row without `asOfDate` is valid for every day.
- A request for a day without rows returns the rows of the last day before it.
- `additional_accounts.jsonl` (`{"clientId", "accountId"}`) lists the accounts of other households that a household can also see.
- Responses have numbers with the same digits as the file.
- The files have SSN and CUSIP in clear; the API masks them.
"""

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from sandbox.firm.edits import Edits
from sandbox.firm.market import round_money, slice_sessions
from sandbox.orion.books import OrionBooks
from sandbox.orion.fields import SHAPES
from sandbox.orion.row_edits import apply_row_edits
from sandbox.server.clock import Clock
from sandbox.server.rows import MISSING, Rows, Source, dump_line

DATED = ("accounts", "assets")
ORION_TABLES = tuple(SHAPES)
_DAY = "asOfDate"


class _Table:
    """An index of one file: start and length of each row's line in bytes, by day (None for rows without a day)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spans: dict[date | None, array[int]] = {}
        if path.exists():
            self._read_index()
        self.days = sorted(day for day in self.spans if day is not None)

    def _read_index(self) -> None:
        start = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    self.spans.setdefault(self._find_day(line, number), array("Q")).extend((start, len(line)))
                start += len(line)

    def _find_day(self, line: bytes, number: int) -> date | None:
        try:
            day = orjson.loads(line).get(_DAY)
            return None if day is None else date.fromisoformat(day[:10])
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{self.path}, line {number}: not one JSON object with a readable {_DAY}: {error}"
            ) from error

    def read(self, as_of: date) -> Iterator[dict[str, Any]]:
        index = bisect_right(self.days, as_of)
        keys: list[date | None] = [None, self.days[index - 1]] if index else [None]
        if not self.spans:
            return
        with self.path.open("rb") as file:
            for key in keys:
                spans = self.spans.get(key, array("Q"))
                for start, length in zip(spans[::2], spans[1::2], strict=True):
                    file.seek(start)
                    yield json.loads(file.read(length), parse_float=Decimal)


class Folder:
    """Files as a source of Orion's rows (`sandbox.server.rows.Source`).

    Args:
        folder: Folder of the vendor's files.
        edits: The stored edits. Row edits and corrected prices are applied.
        clock: The sandbox's time, which dates new edits.

    Raises:
        ValueError: a line of a file is not a JSON object, or its `asOfDate` is not a date.
    """

    def __init__(self, folder: Path, edits: Edits, clock: Clock) -> None:
        self.vendor, self.edits, self.clock = folder.name, edits, clock
        self._tables = {name: _Table(folder / f"{name}.jsonl") for name in ORION_TABLES}
        self._shared = _Table(folder / "additional_accounts.jsonl")
        self._override: date | None = None
        self._cache: dict[tuple[str, date], tuple[int, Rows]] = {}

    @property
    def closed_through(self) -> date:
        """Return the closed day that a test set, or else the last day in any row (`date.max` without dated rows)."""
        days = [table.days[-1] for table in self._tables.values() if table.days]
        return self._override or max(days, default=date.max)

    def close_through(self, day: date | None) -> None:
        """Set the last closed day: later rows are not served. None serves all rows."""
        self._override = day
        self._cache.clear()

    def edit(self, kind: str, values: dict[str, Any]) -> dict[str, Any]:
        """Store an edit, and return it: `set_fields` (fields of a row) or `correct_price`.

        Raises:
            KeyError, ValueError: a value is missing or invalid, or the kind is not supported; nothing is stored.
        """
        edit = values | {"kind": kind, "at": self.clock.now().isoformat()}
        if kind == "set_fields":
            _ = edit["table"], edit["id"], edit["set"].items()
        elif kind == "correct_price":
            _ = edit["product_id"], date.fromisoformat(edit["date"]), Decimal(str(edit["price"]))
        else:
            raise ValueError("data from files has no history that this edit could change")
        self.edits.append(edit)
        return edit

    def find_additional_accounts(self, client_id: int) -> set[int]:
        """Return the ids of accounts of other households that this household can also see."""
        return {row["accountId"] for row in self._shared.read(date.max) if row["clientId"] == client_id}

    def find_rows(self, table: str, as_of: date | None = None) -> Rows:
        """Return a table. A dated table is as of the end of `as_of`, or of the last closed day if it is earlier (the default).

        Raises:
            KeyError: the vendor has no such table.
        """
        day = min(as_of or self.closed_through, self.closed_through)
        version, rows = self._cache.get((table, day), (-1, Rows((), ())))
        if version != len(self.edits.all):
            rows = self._load(table, day)
            if len(self._cache) > 12:
                self._cache.clear()
            self._cache[table, day] = (len(self.edits.all), rows)
        return rows

    def _load(self, table: str, day: date) -> Rows:
        rows = sorted(self._tables[table].read(day), key=lambda row: row["id"])
        if table == "accounts":
            for row in rows:
                row.pop(_DAY, None)
        if table == "assets":
            self._correct_prices(rows, day)
        # Add all documented fields: a query may name a field that no row has, for example in an empty table.
        fields = tuple(dict.fromkeys([*(name for row in rows for name in row), *SHAPES[table].fields]))
        values = [tuple([row.get(name, MISSING) for name in fields]) for row in rows]
        return apply_row_edits(self.edits, self.vendor, table, day, Rows(fields, values))

    def _correct_prices(self, rows: list[dict[str, Any]], day: date) -> None:
        prices = {
            edit["product_id"]: Decimal(str(edit["price"]))
            for edit in self.edits.list_book_edits()
            if edit["kind"] == "correct_price" and edit["date"] == day.isoformat()
        }
        for row in rows:
            if (price := prices.get(row.get("productId"))) is not None:
                row["currentPrice"] = price
                row["currentValue"] = round_money(row["currentShares"] * price)


def export_lines(source: Source, table: str, first: date, last: date) -> Iterator[bytes]:
    """Yield one table as lines of JSON. A table in `DATED` has its rows for every session from `first` through `last`."""
    if table not in DATED:
        yield from map(dump_line, source.find_rows(table).as_dicts())
        return
    for day in slice_sessions(first, last):
        for row in source.find_rows(table, day).as_dicts():
            yield dump_line(row if table == "assets" else row | {_DAY: day.isoformat()})


def export(folder: Path, source: OrionBooks, first: date, last: date) -> None:
    """Write the synthetic firm's Orion data, unmasked, to files in `folder/orion` that `Folder` can read."""
    target = folder / "orion"
    target.mkdir(parents=True, exist_ok=True)
    for table in ORION_TABLES:
        with (target / f"{table}.jsonl").open("wb") as file:
            file.writelines(export_lines(source, table, first, last))
    with (target / "additional_accounts.jsonl").open("wb") as file:
        for house in source.world.open_book().households:
            file.writelines(dump_line({"clientId": house.id, "accountId": id_}) for id_ in house.additional)
