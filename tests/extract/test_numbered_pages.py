"""Paging by number and by position: rows that move between pages are neither lost nor doubled."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import ConfigurationError, PagingUnstable, RetriableError, SchemaDrift
from tests.extract.fan_out_firm import Serve
from tests.extract.paged_rows import NUMBERED, POSITIONED, VENDOR, rows_of
from tests.extract.vendor_server import Answer, Puller, RecordedCall, Reply, listen


def by_number(ids: list[int]) -> Answer:
    """Serve any page of a list."""

    def answer(call: RecordedCall) -> Reply:
        page, size = int(call.params["page"]), int(call.params["pageSize"])
        return Reply(rows_of(*ids[(page - 1) * size : page * size]))

    return answer


# --- by number ---


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 6, 7])
def test_every_row_of_every_page_is_read_once(serve: Serve, rows: int) -> None:
    puller, _ = serve(by_number(list(range(rows))))
    assert [row["row_id"] for row in puller.rows(NUMBERED)] == list(range(rows))


def test_pages_are_requested_by_number_from_one(serve: Serve) -> None:
    puller, listener = serve(by_number([1]))
    puller.rows(NUMBERED, params={"state": "open"})
    assert listener.calls[0].params == {"page": "1", "pageSize": "3", "state": "open"}


def test_numbered_page_is_yielded_before_the_next_one_is_requested(serve: Serve) -> None:
    puller, listener = serve(by_number(list(range(9))))
    requested = [len(listener.calls) for _ in puller.windows(NUMBERED)]
    assert requested == [5, 6, 7]  # the first sweep had four pages


def test_row_that_the_second_sweep_misses_is_staged_once(serve: Serve) -> None:
    """Row 0 is removed after the first page of the second sweep, so row 3 moves to that page."""
    puller, _ = serve(Moving(list(range(9)), [(6, "gone", 0)]))
    assert [row["row_id"] for row in puller.rows(NUMBERED)] == [0, 1, 2, 4, 5, 6, 7, 8, 3]


class Moving:
    """A list that loses or gains rows between two pages of one sweep."""

    def __init__(self, ids: list[int], changes: list[tuple[int, str, int]]) -> None:
        self.ids, self.changes, self.calls = ids, {at: (what, n) for at, what, n in changes}, 0
        self.throughout = set(ids) - {n for _, what, n in changes if what == "gone"}

    def __call__(self, call: RecordedCall) -> Reply:
        self.calls += 1
        what, n = self.changes.get(self.calls, ("", 0))
        if what == "gone" and n in self.ids:
            self.ids.remove(n)
        if what == "new":
            self.ids.insert(0, n)
        return by_number(self.ids)(call)


def test_row_that_is_removed_between_two_pages_hides_no_other_one(serve: Serve) -> None:
    moving = Moving(list(range(8)), [(2, "gone", 0)])
    puller, _ = serve(moving)
    assert [row["row_id"] for row in puller.rows(NUMBERED)] == list(range(1, 8))


def test_row_that_comes_between_two_pages_doubles_no_other_one(serve: Serve) -> None:
    moving = Moving(list(range(8)), [(2, "new", 100)])
    puller, _ = serve(moving)
    assert sorted(row["row_id"] for row in puller.rows(NUMBERED)) == [*range(8), 100]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(4, 14),
    st.lists(st.tuples(st.integers(2, 14), st.sampled_from(["gone", "new"]), st.integers(0, 13)), max_size=3),
)
def test_what_is_there_throughout_is_read_once_or_the_paging_is_called_unstable(
    engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory, rows: int, changes: list[tuple[int, str, int]]
) -> None:
    moving = Moving(list(range(rows)), [(at, what, n if what == "gone" else n + 100) for at, what, n in changes])
    with listen(moving) as listener:
        puller = Puller(engine, VENDOR, listener.url, tmp_path_factory.mktemp("staging"))
        try:
            row_ids = [row["row_id"] for row in puller.rows(NUMBERED)]
        except PagingUnstable:
            return
    assert moving.throughout <= set(row_ids)
    assert len(row_ids) == len(set(row_ids))


def test_list_that_never_rests_is_unstable(serve: Serve) -> None:
    ids = list(range(8))

    def answer(call: RecordedCall) -> Reply:
        if call.params["page"] == "2":
            del ids[0]
            ids.append(ids[-1] + 1)
        return by_number(ids)(call)

    puller, listener = serve(answer)
    with pytest.raises(PagingUnstable, match=r"No two sweeps.*vendor=testbank table=rows"):
        puller.rows(NUMBERED)
    assert len(listener.calls) <= 16


def test_bad_row_on_a_page_does_not_end_the_paging(serve: Serve) -> None:
    def answer(call: RecordedCall) -> Reply:
        rows = [*rows_of(1), {"id": "N/A", "name": "x"}, *rows_of(3), *rows_of(4, 5, 6), *rows_of(7)]
        page = int(call.params["page"])
        return Reply(rows[(page - 1) * 3 : page * 3])

    puller, _ = serve(answer)
    manifest = puller.pull(NUMBERED).manifest
    assert (manifest.fetched, manifest.staged, manifest.dead, manifest.duplicate) == (7, 6, 1, 0)


def test_last_page_with_a_bad_row_that_is_repeated_forever_is_the_end(serve: Serve) -> None:
    pages = [rows_of(1, 2, 3), [*rows_of(4), {"id": "N/A", "name": "x"}]]
    puller, listener = serve(lambda call: Reply(pages[min(int(call.params["page"]), 2) - 1]), most_rows=100)
    manifest = puller.pull(NUMBERED).manifest
    assert (manifest.fetched, manifest.staged, manifest.dead) == (5, 4, 1)
    assert len(listener.calls) == 6


def test_field_that_is_missing_from_one_page_is_drift(serve: Serve) -> None:
    """One of the vendor's servers has a new version that renamed the field."""
    pages = [rows_of(1, 2, 3), [{"id": n, "title": f"row {n}"} for n in (4, 5, 6)], rows_of(7), []]
    puller, _ = serve(lambda call: Reply(pages[int(call.params["page"]) - 1]))
    with pytest.raises(SchemaDrift, match=r"every row of a page.*table=rows fields=name undeclared=title"):
        puller.pull(NUMBERED)
    assert puller.pull(replace(NUMBERED, omits_nulls=True)).manifest.undeclared == ("title",)


def test_shorter_pages_than_requested_lose_no_row(serve: Serve) -> None:
    """The vendor's pages hold two rows at most, whatever size is requested."""

    def answer(call: RecordedCall) -> Reply:
        page = int(call.params["page"])
        return Reply(rows_of(*range(7)[(page - 1) * 2 : page * 2]))

    puller, _ = serve(answer)
    try:
        row_ids = [row["row_id"] for row in puller.rows(NUMBERED)]
    except (RetriableError, ConfigurationError):
        return
    assert row_ids == list(range(7))


# --- by position ---


def by_position(ids: list[int], most: int = 100) -> Answer:
    """Serve the rows that follow a position, never more than `most` at once."""

    def answer(call: RecordedCall) -> Reply:
        start, count = int(call.params["start_position"]), min(int(call.params["count"]), most)
        page = ids[start : start + count]
        return Reply({"items": rows_of(*page), "resultSetSize": str(len(page)), "totalSetSize": str(len(ids))})

    return answer


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("most", [1, 2, 3, 100])
def test_every_row_behind_every_position_is_read_once_however_short_the_pages(
    serve: Serve, rows: int, most: int
) -> None:
    puller, _ = serve(by_position(list(range(rows)), most))
    assert [row["row_id"] for row in puller.rows(POSITIONED)] == list(range(rows))


def test_next_position_follows_received_rows_not_requested_rows(serve: Serve) -> None:
    puller, listener = serve(by_position(list(range(4)), 2))
    puller.rows(POSITIONED, params={"order": "asc"})
    assert [call.params for call in listener.calls] == [
        {"order": "asc", "count": "3", "start_position": start} for start in ("0", "2", "4")
    ]


def test_dead_row_also_counts_as_a_position(serve: Serve) -> None:
    def answer(call: RecordedCall) -> Reply:
        rows = [*rows_of(1), {"id": "N/A", "name": "x"}, *rows_of(3, 4, 5)]
        start = int(call.params["start_position"])
        return Reply({"items": rows[start : start + 3]})

    puller, _ = serve(answer)
    manifest = puller.pull(POSITIONED).manifest
    assert (manifest.fetched, manifest.staged, manifest.dead, manifest.duplicate) == (5, 4, 1, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 12), st.integers(1, 5), st.dictionaries(st.integers(1, 6), st.integers(1, 3), max_size=4))
def test_rows_added_at_the_end_while_paging_cause_no_loss_or_duplicate(
    engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory, rows: int, most: int, joining: dict[int, int]
) -> None:
    ids, calls = list(range(rows)), [0]

    def answer(call: RecordedCall) -> Reply:
        calls[0] += 1
        ids.extend(range(len(ids), len(ids) + joining.get(calls[0], 0)))
        return by_position(ids, most)(call)

    with listen(answer) as listener:
        puller = Puller(engine, VENDOR, listener.url, tmp_path_factory.mktemp("staging"))
        row_ids = [row["row_id"] for row in puller.rows(POSITIONED)]
    assert row_ids == ids
