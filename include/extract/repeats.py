"""Resolve rows that share a key and came in several responses of one pull (pages, calls of a fan-out, parents of a nested list).

* Rows with equal content are duplicates.
* Rows that differ may be an edit between two calls, or an error of the vendor. The newest by the table's `version` is used.
* If there is no single newest row, each of the rows becomes a dead row whose reasons name the differing fields. The same happens if rows
  with this key already differ within one response.
* A fan-out on behalf of several users (the user is in a header) may return different views of a row to different users. Only rows of
  the same user are compared, and the first user's view is used.

Pages overlap by a few rows on purpose. So a repeated row is first compared with the rows of the last windows, in Arrow. If none of them
is equal, the row is kept until the end of the pull and then compared with the written parts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.contract import FanOut, Table
from include.extract.conflict import find_differences, group_shared, list_compared, make_dead_rows
from include.extract.page import DeadRow
from include.extract.paging import Window
from include.staging.files import ROWS_A_PART, PartWriter

_RECENT = 2


@dataclass(frozen=True, slots=True)
class Settled:
    """Outcome of rows that share a key and differ.

    Attributes:
        dead: Rows without a single newest version.
        removed: Rows that were removed from the staged rows.
        added: Newer rows that were staged instead.
    """

    dead: Sequence[DeadRow]
    removed: pa.Table
    added: pa.Table


class Repeats:
    """Collects and compares the repeated rows of one pull of a table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._key = [*table.key, *_list_user_columns(table)]
        self._recent: deque[pa.Table] = deque(maxlen=_RECENT)
        self._open: list[pa.Table] = []
        self._conflicting: list[pa.Table] = []

    def add(self, window: Window) -> None:
        """Collect a window's repeated and conflicting rows. Call it for each window, in order."""
        if window.page.rows.num_rows:
            self._recent.append(window.page.rows)
        if window.page.conflicting is not None:
            self._conflicting.append(window.page.conflicting)
        if window.repeated is not None and self._recent and (rows := self._find_unequal(window.repeated)).num_rows:
            self._open.append(rows)
            if sum(each.num_rows for each in self._open) > ROWS_A_PART:
                self._open = [_distinct(pa.concat_tables(self._open), rows.column_names)]

    def settle(self, writer: PartWriter) -> Settled:
        """Compare the repeated rows with the rows in the written parts, and correct the parts.

        Args:
            writer: The writer that has written every row of the pull; call its `flush` before.

        Raises:
            FatalError: A part is missing, or its checksum is wrong.
        """
        empty = writer.schema.empty_table()
        conflicting = pa.concat_tables([empty, *self._conflicting])
        repeated = pa.concat_tables([empty, *self._open, conflicting])
        if not repeated.num_rows:
            return Settled((), empty, empty)
        names = self._names(repeated)
        first = pa.concat_tables([empty, *(rows.filter(self._is_among(rows, names)) for _, rows in writer.read())])
        candidates = pa.concat_tables([first, repeated.filter(self._is_among(repeated, self._names(first)))])
        in_doubt = set(self._names(conflicting).to_pylist())
        dead: list[DeadRow] = []
        removed, added = list[int](), list[int]()
        for places in group_shared(candidates.select(self._key)):
            picked = candidates.take(places)
            rows = picked.to_pylist()
            reasons = find_differences(rows, self._table)
            is_in_doubt = self._names(candidates.slice(places[0], 1))[0].as_py() in in_doubt
            newest = None if is_in_doubt else self._find_newest(rows)
            staged = [place for place in places if place < first.num_rows]
            if not reasons or newest in range(len(staged)):
                continue
            removed += staged
            if newest is None:
                dead += make_dead_rows(picked, [reasons] * len(places), self._table, [None] * len(places))
            else:
                added.append(places[newest])
        settled = Settled(dead, _take(candidates, removed), _take(candidates, added))
        unwanted = self._names(settled.removed)
        if removed:
            writer.remove(lambda rows: self._is_among(rows, unwanted))
        writer.write(settled.added)
        writer.flush()
        return settled

    def _find_unequal(self, repeated: pa.Table) -> pa.Table:
        """Return the rows of `repeated` that must be compared with the written parts.

        These are the rows whose key is not in the last windows, and the rows that differ from a row there with the same key.
        """
        names = self._names(repeated)
        known = pa.concat_tables([rows.take(pc.indices_nonzero(self._is_among(rows, names))) for rows in self._recent])
        content = list(dict.fromkeys([*self._key, *list_compared(self._table, repeated.column_names)]))
        if known.select(content).equals(repeated.select(content)):  # fast path for overlapping pages
            return repeated.slice(0, 0)
        contents = _distinct(pa.concat_tables([known, repeated]), content)
        counts = self._names(contents).value_counts()
        unequal = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        is_known = self._is_among(repeated, self._names(known))
        return repeated.filter(pc.or_(pc.invert(is_known), self._is_among(repeated, unequal)))

    def _find_newest(self, rows: Sequence[Mapping[str, Any]]) -> int | None:
        """Return the index of the newest row by the table's `version`.

        If several rows are newest and equal, return the first of them. Return None if they differ, or if a row or the table has no version.
        """
        versions: list[Any] = [None if self._table.version is None else row[self._table.version] for row in rows]
        if None in versions:
            return None
        newest = [place for place, version in enumerate(versions) if version == max(versions)]
        return None if find_differences([rows[place] for place in newest], self._table) else newest[0]

    def _is_among(self, rows: pa.Table, names: pa.Array) -> pa.Array:
        return pc.is_in(self._names(rows), value_set=names)

    def _names(self, rows: pa.Table) -> pa.Array:
        """Return the key of each row, including the user of a fan-out, as one array."""
        if len(self._key) == 1:
            return rows.column(self._key[0]).combine_chunks()
        texts = [rows.column(name).cast(pa.string()).combine_chunks() for name in self._key]
        return pc.binary_join_element_wise(*texts, "\x1f", null_handling="replace", null_replacement="\x1e")


def _take(rows: pa.Table, places: list[int]) -> pa.Table:
    return rows.take(pa.array(places, pa.int64()))


def _distinct(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """Return the distinct combinations of these columns."""
    return rows.select(list(names)).group_by(list(names), use_threads=False).aggregate([])


def _list_user_columns(table: Table) -> list[str]:
    """Return the columns that contain the user on whose behalf a fan-out sends a request; empty if its headers name no user."""
    headers = "".join(table.shape.headers.values()) if isinstance(table.shape, FanOut) else ""
    return [col.name for col in table.columns if col.source.startswith("@") and f"{{{col.source[1:]}}}" in headers]
