"""Offset paging over data that moves, without losing or doubling a row.

Pages are ordered by an id that never changes, and each asks for a few rows of the one before. A page is a gapless window
of the ordered rows at the moment it was read. So if every page begins at or before the place where the one before it
ended, and one brings no new row though the vendor could have put more into it, then every row that was there throughout
has been read: rows removed meanwhile shift the others towards us, and show as a page that begins too late; it is asked
for again further back. Rows read twice are dropped by key.

A page shorter than asked for may be the last one, or the vendor gives no longer ones. So it is asked for what follows:
rows that come then show how long its pages really are, and the next ones are asked for in such steps.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
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
        repeated: Those of them that could be read; None where there are none.
    """

    page: Page
    fetched: int
    duplicate: int
    repeated: pa.Table | None = None


class _Covered:
    """The rows read so far: their ids as sorted stretches, one a page, eight bytes a row."""

    def __init__(self) -> None:
        self.highest: Any = None
        self._stretches: list[tuple[Any, Any, pa.Array]] = []
        self._keyless: set[str] = set()

    def touches(self, keys: pa.Array, keyless: set[str]) -> bool:
        """Whether a page with these rows leaves no gap behind what is covered."""
        if self.highest is None or keyless & self._keyless:
            return True
        return len(keys) > 0 and bool(pc.min(keys).as_py() <= self.highest)

    def holds(self, keys: pa.Array, keyless: set[str]) -> bool:
        """Whether all of these rows were read before."""
        return keyless <= self._keyless and pc.all(self.known(keys)).as_py() is not False

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

    def add(self, keys: pa.Array, keyless: set[str]) -> bool:
        """Covers a page's rows; returns whether that led further."""
        self._keyless |= keyless
        if not len(keys):
            return False
        low, high, before = pc.min(keys).as_py(), pc.max(keys).as_py(), self.highest
        self._stretches.append((low, high, keys))
        self.highest = high if before is None else max(high, before)
        return bool(self.highest != before)


class _Ahead:
    """Pages asked for before they are needed, in order; several at once after the first full one.

    Attributes:
        longest: Rows of the longest page that the vendor gave.
    """

    def __init__(self, pool: ThreadPoolExecutor, fetch: Fetch, page_rows: int, connections: int) -> None:
        self._pool, self._fetch, self._page_rows, self._connections = pool, fetch, page_rows, connections
        self._asked: deque[tuple[int, Future[Page]]] = deque()
        self._next_skip, self._width = 0, 1
        self.longest = 0

    def take(self) -> tuple[int, Page]:
        """The next page, and how many rows it skipped."""
        while len(self._asked) < self._width:
            self._asked.append((self._next_skip, self._pool.submit(self._fetch, self._next_skip, self._page_rows)))
            self._next_skip = _end(self._next_skip, self.longest or self._page_rows)
        skip, page = self._asked.popleft()
        return skip, page.result()

    def go_on(self, skip: int, rows: int) -> None:
        """Goes on behind a page; a page that is shorter than others says that nobody knows what is there."""
        is_short = rows < (self.longest or self._page_rows)
        self.longest = max(self.longest, rows)
        if is_short:
            self.restart(_end(skip, rows))
        self._width = 1 if is_short else self._connections

    def restart(self, skip: int) -> None:
        """Forgets what was asked for, and goes on at `skip`."""
        for _, page in self._asked:
            page.cancel()
        self._asked.clear()
        self._next_skip = skip


def ordered_pages(
    fetch: Fetch, key: str, page_rows: int, connections: int, vendor: str, table: str
) -> Iterator[Window]:
    """Reads every page, some of them at once, in order.

    Args:
        fetch: `(skip, top) -> Page`; called from several threads.
        key: Staged column that the vendor orders by.
        page_rows: Rows to ask for in one call; a vendor that gives fewer at once is followed in its own steps.
        connections: Calls in flight.
        vendor: Named in errors.
        table: Named in errors.

    Raises:
        PagingUnstable: The vendor does not keep the order, or rows vanish faster than pages can be read again.
    """
    covered, retreats, idle, empty_at = _Covered(), 0, 0, sys.maxsize
    with ThreadPoolExecutor(connections, thread_name_prefix="page") as pool:
        ahead = _Ahead(pool, fetch, page_rows, connections)
        try:
            while True:
                skip, page = ahead.take()
                keys, keyless, rows = _keys(page, key), _keyless(page, key), page.rows.num_rows + len(page.dead)
                # Nothing is before the first page: what it lacks is gone.
                if skip and not covered.touches(keys, keyless):
                    retreats += 1
                    if retreats > _RETREATS:
                        raise PagingUnstable(
                            "Rows vanish faster than pages can be read", vendor=vendor, table=table, skip=skip
                        )
                    empty_at = sys.maxsize if rows else skip
                    ahead.restart(max(0, skip - OVERLAP * 4**retreats))
                    continue
                _check_order(page, key, vendor, table)
                # Of a single row none can be asked for again: that there is no row behind it was seen just before.
                is_last = rows < max(ahead.longest, 1) or rows >= empty_at
                is_last = is_last and covered.holds(keys, keyless)
                empty_at = sys.maxsize
                yield _fresh(page, key, covered)
                if is_last:
                    return
                if covered.add(keys, keyless):
                    retreats = idle = 0
                else:
                    idle += 1
                    if idle > _IDLE:
                        raise PagingUnstable("The pages lead no further", vendor=vendor, table=table, skip=skip)
                ahead.go_on(skip, rows)
        finally:
            ahead.restart(0)


def only_fresh(pages: Iterable[Page], key: tuple[str, ...]) -> Iterator[Window]:
    """Leaves out rows whose key an earlier row had, for tables small enough that their keys are held as Python objects."""
    seen: set[tuple[object, ...]] = set()
    for page in pages:
        names = zip(*(page.rows.column(name).to_pylist() for name in key), strict=True)
        fresh = []
        for name in names:
            fresh.append(name not in seen)
            seen.add(name)
        rows = page.rows.filter(pa.array(fresh, pa.bool_())) if not all(fresh) else page.rows
        fetched = page.rows.num_rows + len(page.dead)
        repeated = None if all(fresh) else page.rows.filter(pc.invert(pa.array(fresh, pa.bool_())))
        yield Window(replace(page, rows=rows), fetched, fetched - rows.num_rows - len(page.dead), repeated)


def _end(skip: int, rows: int) -> int:
    """Where to go on behind a page, so that the next one holds its last rows again."""
    return skip + max(1, rows - min(OVERLAP, rows // 2))


def _keys(page: Page, key: str) -> pa.Array:
    """Keys of all rows of a page, the dead ones too where theirs can be read."""
    keys = page.rows.column(key).combine_chunks()
    readable = [row.key for row in page.dead if row.key and row.key.lstrip("-").isdigit()]
    if not readable or not pa.types.is_integer(keys.type):
        return keys
    return pa.concat_arrays([keys, pa.array(readable).cast(keys.type)])


def _keyless(page: Page, key: str) -> set[str]:
    """What is known of dead rows whose key can't be read: their content."""
    is_integer = pa.types.is_integer(page.rows.column(key).type)
    return {row.raw for row in page.dead if not (is_integer and row.key and row.key.lstrip("-").isdigit())}


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
    is_known = covered.known(keys)
    fresh = pc.invert(is_known)
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
    repeated = page.rows.filter(is_known) if pc.any(is_known).as_py() else None
    return Window(replace(page, rows=rows, dead=dead), fetched, duplicate, repeated)
