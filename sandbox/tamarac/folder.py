"""Data from files instead of the generated office: `tamarac/<table>.jsonl`, one JSON object per line, in Tamarac's field names.

The tables are the four lists, with the API's field names, and `holdings` and `transactions`, with the column names of the
two reports. `As Of Date` is the day of a holding; a day without holdings returns those of the last day before it.
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
    """Tamarac's data from files, read again for every request.

    Args:
        folder: The vendor's own folder; a missing file is an empty table.
        world: The clock and the edits.

    Raises:
        ValueError: a line of `holdings.jsonl` cannot be read.
    """

    is_synced = True

    def __init__(self, folder: Path, world: World) -> None:
        self.folder, self.world = folder, world
        self._days = sorted({read_day(row["As Of Date"]) for _, row in self._read_lines("holdings")})

    @property
    def closed_through(self) -> date:
        """Return the closed day that a test set, or the last day in any holding."""
        return find_override(self.world.edits.list_book_edits(VENDOR)) or (self._days[-1] if self._days else date.max)

    def read(self, table: str, start: int = 0) -> Iterator[tuple[int, Row]]:
        """Yield a list's rows from position `start` on, each with its position.

        Raises:
            KeyError: Tamarac has no such list.
        """
        id_, row_edits = IDS[table], find_row_edits(self.world.edits.all, table)
        for position, row in self._read_lines(table, start):
            row |= row_edits.get(row[id_], {})
            yield position, {name: value for name, value in row.items() if value is not None}

    def read_holdings(self, day: date) -> Iterator[list[Row]]:
        """Yield the holdings at the end of `day`."""
        days = [each for each in self._days if each <= min(day, self.closed_through)]
        latest = days[-1] if days else None
        rows = (row for _, row in self._read_lines("holdings") if read_day(row["As Of Date"]) == latest)
        yield from _make_blocks(rows, HOLDINGS)

    def read_transactions(self, by: str, first: date, last: date) -> Iterator[list[Row]]:
        """Yield the transactions whose "Entry" or "Trade" day is from `first` to `last`."""
        rows = (row for _, row in self._read_lines("transactions") if first <= read_day(row[f"{by} Date"]) <= last)
        yield from _make_blocks(rows, TRANSACTIONS)

    def _read_lines(self, table: str, start: int = 0) -> Iterator[tuple[int, Row]]:
        """Yield the objects of a file with their byte offsets."""
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
    """Parse a day in the reports' format: 11/20/2026.

    Raises:
        ValueError: it is not a day.
    """
    return datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC).date()


def _make_blocks(rows: Iterator[Row], columns: tuple[str, ...]) -> Iterator[list[Row]]:
    """Yield rows in blocks of some hundreds, with an empty cell for each missing value."""
    empty = dict.fromkeys(columns, "")
    while block := [empty | row for row in itertools.islice(rows, _BLOCK)]:
        yield block
