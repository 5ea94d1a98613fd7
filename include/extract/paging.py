"""Offset paging over data that moves, without losing or doubling a row.

Pages are ordered by an id that never changes, and each asks for a few rows of the one before. A page is a gapless window
of the ordered rows at the moment it was read. So if every page begins at or before the place where the one before it
ended, and the last one is short, then every row that was there throughout has been read: rows removed meanwhile shift
the others towards us, and show as a page that begins too late; it is asked for again further back. Rows read twice are
dropped by key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.errors import PagingUnstable
from include.extract.page import Page

OVERLAP = 10
_RETREATS = 8
# Pages without a new row, such as those read again after a retreat; more mean a vendor that ignores the offset.
_IDLE = 300

Fetch = Callable[[int, int], Page]


@dataclass(frozen=True, slots=True)
class Window:
    """One page, less what was read before.

    Attributes:
        page: Rows and dead rows that were not in an earlier page.
        fetched: Rows in the vendor's answer.
        duplicate: Rows left out because they were read before.
    """

    page: Page
    fetched: int
    duplicate: int


class _Covered:
    """The ids read so far, as sorted stretches, one a page; eight bytes a row."""

    def __init__(self) -> None:
        self.highest: Any = None
        self._stretches: list[tuple[Any, Any, pa.Array]] = []

    def touches(self, keys: pa.Array) -> bool:
        """Whether a page with these keys leaves no gap behind what is covered."""
        return self.highest is None or (len(keys) > 0 and pc.min(keys).as_py() <= self.highest)

    def known(self, keys: pa.Array) -> pa.Array:
        """For each key, whether it was read before."""
        if len(keys) == 0 or self.highest is None:
            return pa.array([False] * len(keys), pa.bool_())
        lowest = pc.min(keys).as_py()
        known = pa.array([False] * len(keys), pa.bool_())
        # All of them: after a page that was asked for further back, the stretches are in no order.
        for _, high, stretch in self._stretches:
            if high >= lowest:
                known = pc.or_(known, pc.is_in(keys, value_set=stretch))
        return known

    def add(self, keys: pa.Array) -> bool:
        """Covers a page's keys; returns whether that led further."""
        if not len(keys):
            return False
        low, high, before = pc.min(keys).as_py(), pc.max(keys).as_py(), self.highest
        self._stretches.append((low, high, keys))
        self.highest = high if before is None else max(high, before)
        return bool(self.highest != before)


def ordered_pages(
    fetch: Fetch, key: str, page_rows: int, connections: int, vendor: str, table: str
) -> Iterator[Window]:
    """Reads every page, some of them at once, in order.

    Args:
        fetch: `(skip, top) -> Page`; called from several threads.
        key: Staged column that the vendor orders by.
        page_rows: Rows to ask for in one call.
        connections: Calls in flight.
        vendor: Named in errors.
        table: Named in errors.

    Raises:
        PagingUnstable: The vendor does not keep the order, or rows vanish faster than pages can be read again.
    """
    covered, retreats, idle = _Covered(), 0, 0
    step = page_rows - OVERLAP
    ahead: deque[tuple[int, Future[Page]]] = deque()
    next_skip, width = 0, 1
    with ThreadPoolExecutor(connections, thread_name_prefix="page") as pool:
        try:
            while True:
                while len(ahead) < width:
                    ahead.append((next_skip, pool.submit(fetch, next_skip, page_rows)))
                    next_skip += step
                skip, future = ahead.popleft()
                page = future.result()
                keys = _keys(page, key)
                # Nothing is before the first page: what it lacks is gone.
                if skip and not covered.touches(keys):
                    retreats += 1
                    if retreats > _RETREATS:
                        raise PagingUnstable(
                            "Rows vanish faster than pages can be read", vendor=vendor, table=table, skip=skip
                        )
                    _drop(ahead)
                    next_skip = max(0, skip - OVERLAP * 4**retreats)
                    continue
                _check_order(page, key, vendor, table)
                yield _fresh(page, key, covered)
                if covered.add(keys):
                    retreats = idle = 0
                else:
                    idle += 1
                    if idle > _IDLE:
                        raise PagingUnstable("The pages lead no further", vendor=vendor, table=table, skip=skip)
                if page.rows.num_rows + len(page.dead) < page_rows:
                    return
                width = connections
        finally:
            _drop(ahead)


def _drop(ahead: deque[tuple[int, Future[Page]]]) -> None:
    for _, future in ahead:
        future.cancel()
    ahead.clear()


def _keys(page: Page, key: str) -> pa.Array:
    """Keys of all rows of a page, the dead ones too where theirs can be read."""
    keys = page.rows.column(key).combine_chunks()
    readable = [row.key for row in page.dead if row.key and row.key.lstrip("-").isdigit()]
    if not readable or not pa.types.is_integer(keys.type):
        return keys
    return pa.concat_arrays([keys, pa.array(readable).cast(keys.type)])


def _check_order(page: Page, key: str, vendor: str, table: str) -> None:
    keys = page.rows.column(key).combine_chunks()
    if len(keys) > 1 and pc.any(pc.greater(keys[:-1], keys[1:])).as_py():
        raise PagingUnstable(
            "The vendor does not order by the key that was asked for", vendor=vendor, table=table, key=key
        )


def _fresh(page: Page, key: str, covered: _Covered) -> Window:
    """Leaves out rows read before, and all but the last of rows that share a key within the page."""
    fetched = page.rows.num_rows + len(page.dead)
    keys = page.rows.column(key).combine_chunks()
    fresh = pc.invert(covered.known(keys))
    if len(keys) > 1:
        last = pa.concat_arrays([pc.not_equal(keys[:-1], keys[1:]), pa.array([True])])
        fresh = pc.and_(fresh, last)
    rows = page.rows if pc.all(fresh).as_py() else page.rows.filter(fresh)
    dead = page.dead
    if dead:
        seen = covered.known(_keys(replace(page, rows=page.rows.slice(0, 0)), key))
        readable = [row for row in dead if row.key and row.key.lstrip("-").isdigit()]
        again = {id(row) for row, known in zip(readable, seen.to_pylist(), strict=False) if known}
        dead = tuple(row for row in dead if id(row) not in again)
    duplicate = fetched - rows.num_rows - len(dead)
    return Window(replace(page, rows=rows, dead=dead), fetched, duplicate)
