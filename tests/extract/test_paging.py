"""Offset paging over a list that other people change between two reads."""

from __future__ import annotations

import bisect
import random
import threading
from collections import Counter
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.errors import PagingUnstable
from include.extract.page import DeadRow, Page
from include.extract.paging import OVERLAP, Fetch, Window, ordered_pages

PAGE_ROWS = 3 * OVERLAP


def page_of(ids: list[int], dead: set[int] = frozenset()) -> Page:  # type: ignore[assignment]
    rows = pa.table({"row_id": pa.array([n for n in ids if n not in dead], pa.int64())})
    return Page(rows, tuple(DeadRow(str(n), ("x: missing",), "{}") for n in ids if n in dead), frozenset())


def read_all(fetch: Fetch, connections: int = 1) -> list[Window]:
    return list(ordered_pages(fetch, "row_id", PAGE_ROWS, connections, "testbank", "rows"))


def count_rows(windows: list[Window]) -> Counter[int]:
    """Count how often each row, good or dead, was returned."""
    good = [n for w in windows for n in w.page.rows.column("row_id").to_pylist()]
    return Counter(good + [int(str(dead.key)) for w in windows for dead in w.page.dead])


@dataclass
class Moving:
    """A vendor's list, ordered by id; before each of 60 reads after the first, some rows are removed and some added.

    It returns at most `cap` rows at once, however many are requested.
    """

    ids: list[int]
    gone: int
    come: int
    cap: int
    chance: random.Random
    throughout: set[int] = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _reads: int = 0

    def __post_init__(self) -> None:
        self.throughout = set(self.ids)

    def fetch(self, skip: int, top: int) -> Page:
        with self._lock:
            if 0 < self._reads <= 60:
                self._change()
            self._reads += 1
            window = self.ids[skip : skip + min(top, self.cap)]
        return page_of(window, {n for n in window if n % 7 == 0})

    def _change(self) -> None:
        for _ in range(min(self.gone, len(self.ids))):
            at = min(self.chance.randrange(len(self.ids)), self.chance.randrange(len(self.ids)))
            self.throughout.discard(self.ids.pop(at))
        for _ in range(self.come):
            fresh = self.chance.randrange(2 * len(self.ids) + 100) * 2 + 1
            if fresh not in self.ids:
                bisect.insort(self.ids, fresh)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 400),
    st.integers(0, 14),
    st.integers(0, 6),
    st.integers(1, PAGE_ROWS),
    st.integers(0, 2**32),
    st.sampled_from([1, 4]),
)
@example(
    rows=30, gone=10, come=0, cap=PAGE_ROWS, seed=0, connections=4
)  # all of them are removed before the second page
@example(rows=400, gone=3, come=3, cap=PAGE_ROWS // 2, seed=0, connections=4)
def test_every_row_that_is_there_throughout_is_given_once(
    rows: int, gone: int, come: int, cap: int, seed: int, connections: int
) -> None:
    moving = Moving([2 * n for n in range(rows)], gone, come, cap, random.Random(seed))
    try:
        windows = read_all(moving.fetch, connections)
    except PagingUnstable:
        # Only where all rows of a page can be removed before the next page is read.
        assert min(cap, len(moving.ids)) <= gone + OVERLAP
        return
    counts = count_rows(windows)
    assert moving.throughout <= set(counts)
    assert set(counts.values()) <= {1}
    for w in windows:
        assert w.fetched == w.page.rows.num_rows + len(w.page.dead) + w.duplicate


@pytest.mark.parametrize("cap", [2, 3, OVERLAP - 1, OVERLAP, OVERLAP + 1, PAGE_ROWS - 1, PAGE_ROWS])
@pytest.mark.parametrize("rows", [0, 1, 2, 3, OVERLAP, OVERLAP + 1, PAGE_ROWS - 1, PAGE_ROWS, 10 * PAGE_ROWS])
def test_short_pages_are_read_to_the_end(cap: int, rows: int) -> None:
    ids = list(range(rows))
    windows = read_all(lambda skip, top: page_of(ids[skip : skip + min(top, cap)], {5, 6}), 4)
    assert count_rows(windows) == Counter(ids)


def test_one_row_per_page_is_reported() -> None:
    with pytest.raises(PagingUnstable, match="vanish faster"):
        read_all(lambda skip, top: page_of([0, 1, 2][skip : skip + 1]))


@pytest.mark.parametrize(("rows", "calls"), [(0, 1), (1, 3), (2, 2), (PAGE_ROWS - 1, 2), (PAGE_ROWS + 5, 3)])
def test_end_of_a_table_costs_one_more_call(rows: int, calls: int) -> None:
    ids, fetches = list(range(rows)), Counter[int]()

    def fetch(skip: int, top: int) -> Page:
        fetches[skip] += 1
        return page_of(ids[skip : skip + top])

    read_all(fetch)
    assert fetches.total() == calls


def test_rows_whose_key_cannot_be_read_do_not_hide_the_end() -> None:
    rows = [DeadRow(None, ("id: missing",), f"{{{n}}}") for n in range(2 * OVERLAP)]

    def fetch(skip: int, top: int) -> Page:
        """Return five good rows, then twenty whose key can't be read."""
        return replace(page_of(list(range(5))[skip : skip + top]), dead=tuple(rows[max(0, skip - 5) :]))

    windows = read_all(fetch)
    assert {row.raw for w in windows for row in w.page.dead} == {row.raw for row in rows}


@pytest.mark.parametrize("rows", [0, 1, PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, 10 * PAGE_ROWS])
@pytest.mark.parametrize("connections", [1, 4])
def test_list_that_rests_is_given_in_order(rows: int, connections: int) -> None:
    ids = list(range(rows))
    windows = read_all(lambda skip, top: page_of(ids[skip : skip + top]), connections)
    assert [n for w in windows for n in w.page.rows.column("row_id").to_pylist()] == ids


@settings(deadline=None)
@given(st.sets(st.integers(-(2**63), 2**63 - 1), min_size=PAGE_ROWS + 1, max_size=3 * PAGE_ROWS))
def test_rows_of_overlapping_pages_are_given_once_however_far_apart_their_ids_are(ids: set[int]) -> None:
    listed = sorted(ids)
    windows = read_all(lambda skip, top: page_of(listed[skip : skip + top]))
    assert count_rows(windows) == Counter(listed)


def test_rows_that_go_all_at_once_are_looked_for_further_back() -> None:
    ids = list(range(1000))

    def fetch(skip: int, top: int) -> Page:
        page = page_of(ids[skip : skip + top])
        if skip == 5 * (PAGE_ROWS - OVERLAP):
            del ids[: 3 * PAGE_ROWS]
        return page

    assert set(count_rows(read_all(fetch))) >= set(ids)


def test_row_is_not_given_again_whether_it_was_good_or_dead_before() -> None:
    ids, reads = list(range(2 * PAGE_ROWS)), 0

    def fetch(skip: int, top: int) -> Page:
        nonlocal reads
        reads += 1
        return page_of(ids[skip : skip + top], set(range(25, 30)) if reads == 1 else set(range(20, 25)))

    windows = read_all(fetch)
    assert set(count_rows(windows).values()) == {1}
    assert {d.key for w in windows for d in w.page.dead} == {str(n) for n in range(25, 30)}


def test_ignored_sort_order_is_reported() -> None:
    ids = list(range(100, 0, -1))
    with pytest.raises(PagingUnstable, match=r"does not order.*vendor=testbank table=rows key=row_id"):
        read_all(lambda skip, top: page_of(ids[skip : skip + top]))


def test_ignored_offset_is_reported() -> None:
    with pytest.raises(PagingUnstable, match=r"bring no new rows.*vendor=testbank table=rows"):
        read_all(lambda skip, top: page_of(list(range(top))))


def test_list_of_which_everything_goes_ends() -> None:
    ids = list(range(200))

    def fetch(skip: int, top: int) -> Page:
        page = page_of(ids[skip : skip + top])
        ids.clear()
        return page

    assert sorted(count_rows(read_all(fetch))) == list(range(PAGE_ROWS))


def test_pages_that_never_reach_the_first_are_reported() -> None:
    reads = 0

    def fetch(skip: int, top: int) -> Page:
        nonlocal reads
        reads += 1
        start = skip + top if skip else 0
        return page_of(list(range(start, start + top)))

    with pytest.raises(PagingUnstable, match=r"vanish faster.*vendor=testbank table=rows"):
        read_all(fetch)
    assert reads < 50


def test_of_rows_that_share_a_key_in_a_page_the_last_is_kept() -> None:
    rows = pa.table({"row_id": pa.array([1, 2, 2, 3], pa.int64()), "name": ["a", "b", "c", "d"]})
    window, *_ = read_all(lambda skip, top: Page(rows[skip:], (), frozenset()))
    assert window.page.rows.column("name").to_pylist() == ["a", "c", "d"]
    assert (window.fetched, window.duplicate) == (4, 1)


def test_error_of_a_page_ends_the_reading() -> None:
    def fetch(skip: int, top: int) -> Page:
        if skip > PAGE_ROWS:
            raise PagingUnstable("no more")
        return page_of(list(range(skip, skip + top)))

    with pytest.raises(PagingUnstable, match="no more"):
        read_all(fetch, connections=4)
    assert not [t for t in threading.enumerate() if t.name.startswith("page")]
