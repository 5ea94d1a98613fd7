"""Page by offset through changing data without losing or doubling a row.

The vendor sorts the rows by an id that never changes, and each page overlaps the previous one by a few rows. If rows are removed
during the pull, the remaining rows move to lower offsets. The next page then begins after a gap: it does not overlap the rows read
so far. The page is requested again at lower offsets until it overlaps them. Rows that were read twice are dropped by key.

The pull is complete when a page is shorter than the longest page and has no new row. Then every row that existed during the whole
pull was read.

A page shorter than requested may be the last one, or the vendor may limit the page size. So the next rows are always requested. If
there are any, the vendor limits the page size, and the following offsets advance by that size.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.errors import PagingUnstable
from include.extract.page import Page

OVERLAP = 10
_RETREATS = 8
# Maximum consecutive pages without a higher id, such as after a retreat; more mean that the vendor ignores the offset.
_IDLE = 300

Fetch = Callable[[int, int], Page]


@dataclass(frozen=True, slots=True)
class Window:
    """One page without the rows that were read before.

    Attributes:
        page: The page's new rows and new dead rows.
        fetched: Number of rows in the response.
        duplicate: Number of rows left out because their key was read before, in an earlier page or in this one.
        repeated: The good rows that were left out. `include.extract.repeats` compares their content with that of the earlier rows.
            None if there are none.
    """

    page: Page
    fetched: int
    duplicate: int
    repeated: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The keys of one page. Integers are stored as the distances between neighbors, mostly in one or two bytes instead of eight."""

    low: Any
    high: Any
    stored: pa.Array

    @classmethod
    def store(cls, keys: pa.Array) -> _Stretch:
        low, high = (bound.as_py() for bound in pc.min_max(keys).values())
        if pa.types.is_integer(keys.type):
            # A distance of 2**63 or more wraps around here, and back in `keys`.
            distances = np.diff(np.sort(keys.cast(pa.int64()).to_numpy())).view(np.uint64)
            keys = pa.array(distances.astype(np.min_scalar_type(distances.max(initial=0))))
        return cls(low, high, keys)

    def keys(self, type_: pa.DataType) -> pa.Array:
        if not pa.types.is_integer(type_):
            return self.stored
        distances = self.stored.to_numpy().astype(np.int64)
        return pa.array(self.low + np.append(0, np.cumsum(distances))).cast(type_)


class _Covered:
    """The keys of the rows read so far, page by page.

    In all methods, `keys` are the ids of a page's rows, and `keyless` is the content of its dead rows without a readable id.
    """

    def __init__(self) -> None:
        self.highest: Any = None
        self._stretches: list[_Stretch] = []
        self._keyless: set[str] = set()

    def touches(self, keys: pa.Array, keyless: set[str]) -> bool:
        """Return whether a page overlaps the rows read so far, so that no row between them was missed; true for the first page."""
        if self.highest is None or keyless & self._keyless:
            return True
        return len(keys) > 0 and bool(pc.min(keys).as_py() <= self.highest)

    def holds(self, keys: pa.Array, keyless: set[str]) -> bool:
        """Return whether all rows of a page were read before."""
        return keyless <= self._keyless and pc.all(self.known(keys)).as_py() is not False

    def known(self, keys: pa.Array) -> pa.Array:
        """Return an array that is true for each key that was read before."""
        if len(keys) == 0 or self.highest is None:
            return pa.array([False] * len(keys), pa.bool_())
        lowest = pc.min(keys).as_py()
        known = pa.array([False] * len(keys), pa.bool_())
        # Search all pages: after a retreat, they are not in order.
        for stretch in self._stretches:
            if stretch.high >= lowest:
                known = pc.or_(known, pc.is_in(keys, value_set=stretch.keys(keys.type)))
        return known

    def add(self, keys: pa.Array, keyless: set[str]) -> bool:
        """Add a page's rows; return whether the highest id increased."""
        self._keyless |= keyless
        if not len(keys):
            return False
        stretch, before = _Stretch.store(keys), self.highest
        self._stretches.append(stretch)
        self.highest = stretch.high if before is None else max(stretch.high, before)
        return bool(self.highest != before)


class _Prefetch:
    """Requests pages ahead, in order. After a full page it keeps several requests in parallel, after a short page only one.

    Attributes:
        longest: Number of rows of the longest page so far.
    """

    def __init__(self, pool: ThreadPoolExecutor, fetch: Fetch, page_rows: int, connections: int) -> None:
        self._pool, self._fetch, self._page_rows, self._connections = pool, fetch, page_rows, connections
        self._requested: deque[tuple[int, Future[Page]]] = deque()
        self._next_skip, self._width = 0, 1
        self.longest = 0

    def take(self) -> tuple[int, Page]:
        """Return the offset of the next page and the page; wait for it if necessary."""
        while len(self._requested) < self._width:
            self._requested.append((self._next_skip, self._pool.submit(self._fetch, self._next_skip, self._page_rows)))
            self._next_skip = _next_offset(self._next_skip, self.longest or self._page_rows)
        skip, page = self._requested.popleft()
        return skip, page.result()

    def advance(self, skip: int, rows: int) -> None:
        """Continue after the page at offset `skip`, which had `rows` rows.

        After a short page, drop the pages requested ahead, because their offsets may leave a gap.
        """
        is_short = rows < (self.longest or self._page_rows)
        self.longest = max(self.longest, rows)
        if is_short:
            self.restart(_next_offset(skip, rows))
        self._width = 1 if is_short else self._connections

    def restart(self, skip: int) -> None:
        """Drop the pages requested ahead; the next page is the one at offset `skip`."""
        for _, page in self._requested:
            page.cancel()
        self._requested.clear()
        self._next_skip = skip


def ordered_pages(
    fetch: Fetch, key: str, page_rows: int, connections: int, vendor: str, table: str
) -> Iterator[Window]:
    """Yield all pages in order, without rows that were read before; request several pages in parallel.

    Args:
        fetch: Requests `top` rows at offset `skip`: `fetch(skip, top)`. It is called from several threads.
        key: Staged column that the vendor sorts by.
        page_rows: Rows to request per call. If the vendor returns fewer, offsets advance by its page size.
        connections: Maximum parallel calls.
        vendor: Context for errors.
        table: Context for errors.

    Raises:
        PagingUnstable: The vendor does not sort by the key, rows vanish faster than pages can be read again, or the pages contain no new
            rows because the vendor ignores the offset.
        TributaryError: `fetch` failed.
    """
    covered, retreats, idle, empty_at = _Covered(), 0, 0, sys.maxsize
    with ThreadPoolExecutor(connections, thread_name_prefix="page") as pool:
        ahead = _Prefetch(pool, fetch, page_rows, connections)
        try:
            while True:
                skip, page = ahead.take()
                keys, keyless, rows = _keys(page, key), _keyless(page, key), page.rows.num_rows + len(page.dead)
                # The first page can't leave a gap.
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
                # A page of one row can't overlap the next one. But if the request before this one returned an empty page at the
                # offset where this page ends, no row follows.
                is_last = rows < max(ahead.longest, 1) or rows >= empty_at
                is_last = is_last and covered.holds(keys, keyless)
                empty_at = sys.maxsize
                yield _drop_known(page, key, covered)
                if is_last:
                    return
                if covered.add(keys, keyless):
                    retreats = idle = 0
                else:
                    idle += 1
                    if idle > _IDLE:
                        raise PagingUnstable(
                            "The pages bring no new rows: the vendor may ignore the offset",
                            vendor=vendor,
                            table=table,
                            skip=skip,
                        )
                ahead.advance(skip, rows)
        finally:
            ahead.restart(0)


def only_fresh(pages: Iterable[Page], key: tuple[str, ...]) -> Iterator[Window]:
    """Yield the pages, and leave out each row whose key was in an earlier row.

    All keys are in memory as Python objects, so use it for smaller tables only. `ordered_pages` needs less memory.
    """
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


def _next_offset(skip: int, rows: int) -> int:
    """Return the offset of the page after the page at `skip` with `rows` rows; it overlaps the last rows of that page."""
    return skip + max(1, rows - min(OVERLAP, rows // 2))


def _keys(page: Page, key: str) -> pa.Array:
    """Return the keys of a page's good rows and, for integer keys, of its dead rows with a readable key."""
    keys = page.rows.column(key).combine_chunks()
    readable = [row.key for row in page.dead if row.key and row.key.lstrip("-").isdigit()]
    if not readable or not pa.types.is_integer(keys.type):
        return keys
    return pa.concat_arrays([keys, pa.array(readable).cast(keys.type)])


def _keyless(page: Page, key: str) -> set[str]:
    """Return the content of the dead rows that `_keys` leaves out; it identifies such a row in place of its key."""
    is_integer = pa.types.is_integer(page.rows.column(key).type)
    return {row.raw for row in page.dead if not (is_integer and row.key and row.key.lstrip("-").isdigit())}


def _check_order(page: Page, key: str, vendor: str, table: str) -> None:
    keys = page.rows.column(key).combine_chunks()
    if len(keys) > 1 and pc.any(pc.greater(keys[:-1], keys[1:])).as_py():
        raise PagingUnstable(
            "The vendor does not order the rows by the requested key", vendor=vendor, table=table, key=key
        )


def _drop_known(page: Page, key: str, covered: _Covered) -> Window:
    """Return the page without rows that were read before; of the rows that share a key within the page, only the last stays."""
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
