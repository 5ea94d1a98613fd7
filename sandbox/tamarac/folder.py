"""Tamarac's data from files instead of the synthetic firm: `tamarac/<table>.jsonl`, one JSON object per line.

The tables are the four lists, with the field names of the API, and `holdings` and `transactions`, with the column names of the two
reports. `As Of Date` is the day of a holding. A request for a day without holdings returns those of the last day before it.
"""

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

from sandbox.firm.world import World
from sandbox.tamarac.edits import find_override, find_row_edits
from sandbox.tamarac.house import VENDOR
from sandbox.tamarac.positions import HOLDINGS, Row
from sandbox.tamarac.rows import IDS
from sandbox.tamarac.trades import TRANSACTIONS

_BLOCK = 500


class Folder:
    """Tamarac's data from files, which are read again for every request.

    Args:
        folder: Folder of the vendor's files. A missing file is an empty table.
        world: The firm, whose edits are applied.

    Raises:
        KeyError, ValueError: a line of `holdings.jsonl` cannot be read.
    """

    is_synced = True

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self.world = folder, world
        self._days = sorted({read_day(row["As Of Date"]) for _, row in self._read_lines("holdings")})

    @property
    def closed_through(self) -> date:
        """Return the closed day that a test set, or else the last day in `holdings` (`date.max` without holdings)."""
        return find_override(self.world.edits.list_book_edits(VENDOR)) or (self._days[-1] if self._days else date.max)

    def read(self, table: str, start: int = 0) -> Iterator[tuple[int, Row]]:
        """Yield the rows of a list from position `start` on, each with its position (byte offset in the file).

        Raises:
            KeyError: Tamarac has no such list.
        """
        id_, row_edits = IDS[table], find_row_edits(self.world.edits.all, table)
        for position, row in self._read_lines(table, start):
            row |= row_edits.get(row[id_], {})
            yield position, {name: value for name, value in row.items() if value is not None}

    def read_holdings(self, day: date) -> Iterator[list[Row]]:
        """Yield the holdings at the end of `day`, or of the last closed day if it is earlier, in blocks of rows."""
        days = [each for each in self._days if each <= min(day, self.closed_through)]
        latest = days[-1] if days else None
        rows = (row for _, row in self._read_lines("holdings") if read_day(row["As Of Date"]) == latest)
        yield from _make_blocks(rows, HOLDINGS)

    def read_transactions(self, by: str, first: date, last: date) -> Iterator[list[Row]]:
        """Yield the transactions from `first` through `last`, in blocks of rows. `by` ("Entry" or "Trade") selects the date."""
        rows = (row for _, row in self._read_lines("transactions") if first <= read_day(row[f"{by} Date"]) <= last)
        yield from _make_blocks(rows, TRANSACTIONS)

    def _read_lines(self, table: str, start: int = 0) -> Iterator[tuple[int, Row]]:
        """Yield the objects of a file from byte `start` on, each with its byte offset. A missing file yields nothing."""
        path = self.folder / f"{table}.jsonl"
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(start)
            for line in file:
                if line.strip():
                    yield start, json.loads(line, parse_float=Decimal)
                start += len(line)


def read_day(text: str) -> date:
    """Parse a day in the format of the reports: 11/20/2026.

    Raises:
        ValueError: the text is not a day.
    """
    return datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC).date()


def _make_blocks(rows: Iterator[Row], columns: tuple[str, ...]) -> Iterator[list[Row]]:
    """Yield rows in blocks of up to 500, with an empty text for each missing column."""
    empty = dict.fromkeys(columns, "")
    while block := [empty | row for row in itertools.islice(rows, _BLOCK)]:
        yield block
