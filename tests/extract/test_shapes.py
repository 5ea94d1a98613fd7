"""Paging by number, position, link and cursor, whole responses, envelopes: rows that move are not lost, and no other host gets our token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from include.contract import INTEGER, MONEY, STRING, Linked, Nested, Numbered, Positioned, Pushed, Table, Whole, column
from include.errors import ConfigurationError, PagingUnstable, RetriableError, SchemaDrift, VendorUnavailable
from include.extract.pull import Span, request
from tests.extract.vendor_server import DAY, NOW, Answer, Listener, Puller, RecordedCall, Reply, listen, vendor_of

COLUMNS = (column("row_id", "id", INTEGER, required=True), column("name", "name", STRING))
NUMBERED = Table("rows", "rows", ("row_id",), COLUMNS, shape=Numbered("page", "pageSize"), page_rows=3)
POSITIONED = Table(
    "rows", "rows", ("row_id",), COLUMNS, shape=Positioned("start_position", "count"), rows="items", page_rows=3
)
CURSOR = Table(
    "rows",
    "rows",
    ("row_id",),
    COLUMNS,
    shape=Linked("page.nextCursor", "pageSize", "cursor"),
    rows="items",
    page_rows=3,
)
LINKED = Table("rows", "rows", ("row_id",), COLUMNS, shape=Linked("next", "limit"), rows="items", page_rows=3)
VENDOR = vendor_of(NUMBERED)


class Serve(Protocol):
    def __call__(self, answer: Answer, **options: Any) -> tuple[Puller, Listener]: ...


@pytest.fixture
def serve(engine: sa.Engine, tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as running:

        def start(answer: Answer, **options: Any) -> tuple[Puller, Listener]:
            listener = running.enter_context(listen(answer))
            return Puller(engine, options.pop("vendor", VENDOR), listener.url, tmp_path, **options), listener

        yield start


def rows_of(*ids: int) -> list[dict[str, Any]]:
    return [{"id": n, "name": f"row {n}"} for n in ids]


def by_number(ids: list[int]) -> Answer:
    """Serve any page of a list."""

    def answer(call: RecordedCall) -> Reply:
        page, size = int(call.params["page"]), int(call.params["pageSize"])
        return Reply(rows_of(*ids[(page - 1) * size : page * size]))

    return answer


# --- in one piece ---


def test_unpaged_response_is_requested_once_with_the_tables_parameters(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply(rows_of(2, 1)))
    table = replace(NUMBERED, shape=Whole(), params={"includeImage": "false"})
    assert [row["row_id"] for row in puller.rows(table)] == [2, 1]
    assert [(call.path, call.params) for call in listener.calls] == [("/rows", {"includeImage": "false"})]


def test_envelope_and_objects_become_rows_with_exact_money(serve: Serve) -> None:
    table = Table(
        "rows", "rows", ("row_id",), rows="data", has_objects=True,
        columns=(column("row_id", "id", INTEGER, required=True), column("worth_usd", "total.amount", MONEY)),
    )  # fmt: skip
    body = b'{"data":[{"id":1,"total":{"amount":90071992547409.93}},{"id":2,"total":null}],"count":2}'
    puller, _ = serve(lambda call: Reply(content=body))
    assert [row["worth_usd"] for row in puller.rows(table)] == [Decimal("90071992547409.93"), None]


def test_response_without_rows_is_requested_again(serve: Serve) -> None:
    replies = iter([Reply({"message": "later"}), Reply({"data": rows_of(1)})])
    puller, listener = serve(lambda call: next(replies), patience_s=20)
    assert len(puller.rows(replace(NUMBERED, shape=Whole(), rows="data"))) == 1
    assert len(listener.calls) == 2


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


# --- by cursor ---


def by_cursor(pages: dict[str, Reply]) -> Answer:
    """Serve the page that the parameter `cursor` names."""
    return lambda call: pages[call.params.get("cursor", "")]


def batch(following: object, *ids: int) -> Reply:
    return Reply({"items": rows_of(*ids), "page": {} if following is None else {"nextCursor": following}})


def test_cursor_goes_with_the_same_parameters_to_the_last_page(serve: Serve) -> None:
    puller, listener = serve(by_cursor({"": batch("b*=", 1, 2), "b*=": batch("c", 3), "c": batch(None, 4)}))
    assert [row["row_id"] for row in puller.rows(CURSOR, params={"state": "open"})] == [1, 2, 3, 4]
    params = {"state": "open", "pageSize": "3"}
    assert [call.params for call in listener.calls] == [params, params | {"cursor": "b*="}, params | {"cursor": "c"}]
    assert {call.path for call in listener.calls} == {"/rows"}


@pytest.mark.parametrize(
    "last", [{}, {"page": {}}, {"page": {"nextCursor": None}}, {"page": {"nextCursor": ""}}, {"page": {"total": 7}}]
)
def test_response_without_a_cursor_is_the_last_page(serve: Serve, last: dict[str, Any]) -> None:
    puller, listener = serve(lambda call: Reply({"items": rows_of(1)} | last))
    assert len(puller.rows(CURSOR)) == 1
    assert len(listener.calls) == 1


def test_cursor_that_is_a_url_is_no_address(serve: Serve) -> None:
    """A cursor is a parameter, whatever it looks like: no other host gets a request."""
    stranger, elsewhere = serve(lambda call: batch(None, 9))
    puller, _ = serve(by_cursor({"": batch(f"{elsewhere.url}/rows", 1), f"{elsewhere.url}/rows": batch(None, 2)}))
    assert [row["row_id"] for row in puller.rows(CURSOR)] == [1, 2]
    assert elsewhere.calls == []
    assert stranger.url != puller.url


@pytest.mark.parametrize("back_to", ["b", "c"])
def test_cursor_cycle_is_reported(serve: Serve, back_to: str) -> None:
    puller, listener = serve(by_cursor({"": batch("b", 1), "b": batch("c", 2), "c": batch(back_to, 3)}))
    with pytest.raises(PagingUnstable, match=r"form a loop.*vendor=testbank table=rows"):
        puller.rows(CURSOR)
    assert len(listener.calls) <= 5


@pytest.mark.parametrize("page", [{"nextCursor": 7}, {"nextCursor": ["x"]}, "text", ["x"], None, 5])
def test_cursor_that_is_no_text_is_an_unusable_response(serve: Serve, page: object) -> None:
    puller, _ = serve(lambda call: Reply({"items": rows_of(1), "page": page}))
    with pytest.raises(VendorUnavailable):
        puller.rows(CURSOR)


# --- by link ---


def by_link(pages: dict[str, Reply]) -> Answer:
    """Serve the page that the parameter `at` names."""
    return lambda call: pages[call.params.get("at", "")]


def page(following: object, *ids: int) -> Reply:
    return Reply({"items": rows_of(*ids), "next": following})


def test_links_are_followed_to_the_last_page(serve: Serve) -> None:
    pages: dict[str, Reply] = {}
    puller, listener = serve(by_link(pages))
    pages |= {
        "": page(f"{listener.url}/rows?at=b", 1, 2),
        "b": page(f"{listener.url}/rows?at=c"),
        "c": page(None, 3),
    }
    assert [row["row_id"] for row in puller.rows(LINKED, params={"state": "open"})] == [1, 2, 3]
    # The first page is requested with our parameters, the others by the vendor's link alone.
    assert [call.params for call in listener.calls] == [{"state": "open", "limit": "3"}, {"at": "b"}, {"at": "c"}]
    assert all(call.headers["Authorization"].startswith("Basic ") for call in listener.calls)


@pytest.mark.parametrize("last", [{"items": []}, {"items": [], "next": None}, {"items": [], "next": ""}])
def test_page_without_a_link_is_the_last(serve: Serve, last: dict[str, Any]) -> None:
    puller, listener = serve(lambda call: Reply(last))
    assert puller.rows(LINKED) == []
    assert len(listener.calls) == 1


@pytest.mark.parametrize("back_to", ["", "?at=b", "?at=c"])
def test_page_cycle_is_reported(serve: Serve, back_to: str) -> None:
    pages: dict[str, Reply] = {}
    puller, listener = serve(by_link(pages))
    pages |= {
        "": page(f"{listener.url}/rows?at=b", 1),
        "b": page(f"{listener.url}/rows?at=c", 2),
        "c": page(f"{listener.url}/rows{back_to}", 3),
    }
    with pytest.raises(PagingUnstable, match=r"form a loop.*vendor=testbank table=rows"):
        puller.rows(LINKED)
    assert len(listener.calls) <= 7


def test_row_on_two_pages_is_given_once_and_counted(serve: Serve) -> None:
    pages: dict[str, Reply] = {}
    puller, listener = serve(by_link(pages))
    pages |= {"": page(f"{listener.url}/rows?at=b", 1, 2), "b": page(None, 2, 3)}
    manifest = puller.pull(LINKED).manifest
    assert (manifest.fetched, manifest.staged, manifest.duplicate, manifest.dead) == (4, 3, 1, 0)


def test_link_to_another_host_is_refused_before_our_token_goes_there(serve: Serve) -> None:
    stranger, elsewhere = serve(lambda call: page(None, 9))
    puller, _ = serve(lambda call: page(f"{elsewhere.url}/rows?at=b", 1))
    with pytest.raises(ConfigurationError, match=r"another host.*vendor=testbank"):
        puller.rows(LINKED)
    assert elsewhere.calls == []
    assert stranger.url != puller.url


@pytest.mark.parametrize(
    "link",
    ["https://{host}/rows?at=b", "http://user@{host}/rows?at=b", "http://{host}.example.com/rows", "http://{host}@[::1]:1/",
     "http://{host}\\@localhost:1/rows", "ftp://{host}/rows"],
)  # fmt: skip
def test_link_that_only_looks_like_our_place_is_refused(serve: Serve, link: str) -> None:
    links: list[str] = []
    puller, listener = serve(lambda call: page(links[0], 1))
    links.append(link.format(host=listener.url.removeprefix("http://")))
    with pytest.raises(ConfigurationError, match="another host"):
        puller.rows(LINKED)
    assert len(listener.calls) == 1


@pytest.mark.parametrize("link", [7, {"href": "x"}, ["x"]])
def test_link_that_is_no_text_is_an_unusable_response(serve: Serve, link: object) -> None:
    puller, _ = serve(lambda call: page(link, 1))
    with pytest.raises(VendorUnavailable):
        puller.rows(LINKED)


def test_unreadable_page_is_requested_again_by_its_own_link(serve: Serve) -> None:
    replies: list[Reply] = []
    puller, listener = serve(lambda call: replies.pop(0), patience_s=20)
    replies += [page(f"{listener.url}/rows?at=b", 1), Reply(content=b'{"items":[{"id":2'), page(None, 2)]
    assert [row["row_id"] for row in puller.rows(LINKED)] == [1, 2]
    assert [call.params.get("at") for call in listener.calls] == [None, "b", "b"]


# --- nested in another table ---


def test_table_inside_another_that_was_not_pulled_is_a_configuration_error(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply([]))
    table = Table("people", "", ("row_id",), COLUMNS, shape=Nested("houses", ("people",)))
    with pytest.raises(ConfigurationError, match=r"not pulled.*vendor=testbank table=people parent=houses"):
        puller.rows(table)
    assert listener.calls == []


def test_webhook_only_table_is_not_requested(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply([]))
    with pytest.raises(ConfigurationError, match=r"arrives only by webhook.*vendor=testbank table=rows"):
        puller.rows(replace(NUMBERED, path="", shape=Pushed()))
    assert listener.calls == []


# --- fields ---


NESTED = Table(
    "rows", "rows", ("row_id",), rows="items", has_objects=True, omits_nulls=True, skipped=("tabs", "home.secret"),
    columns=(
        column("row_id", "id", INTEGER, required=True), column("city", "home.city", STRING),
        column("people", "people", STRING),
    ),
)  # fmt: skip


def test_object_that_is_skipped_is_no_drift_at_its_place_and_in_every_list(serve: Serve) -> None:
    people = [{"name": "x", "tabs": {"a": 1}, "home": {"secret": 2}}, "no object"]
    row = {"id": 1, "tabs": {"deep": {"er": 1}}, "home": {"city": "Salem", "secret": {"a": 1}}, "people": people}
    puller, _ = serve(lambda call: Reply({"items": [row]}))
    [staged] = puller.rows(NESTED)
    assert staged == {"row_id": 1, "city": "Salem", "people": '[{"name":"x","home":{"secret":2}},"no object"]'}
    assert puller.pull(NESTED).manifest.undeclared == ()


def test_object_of_the_same_name_elsewhere_is_not_skipped(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply({"items": [{"id": 1, "home": {"city": "Salem", "tabs": {"a": 1}}}]}))
    assert puller.pull(NESTED).manifest.undeclared == ("home.tabs.a",)


def with_keys(**options: Any) -> Table:
    declared: dict[str, Any] = {
        "pull": "window",
        "edited": ("from", "to"),
        "params": {"order": "asc"},
        "selected": "ids",
    }
    return replace(NUMBERED, **declared | options)


def test_selected_rows_are_one_parameter_without_a_time() -> None:
    params, window = request(VENDOR, with_keys(), Span(DAY, selected=("a", "b")), NOW)
    assert (params, window) == ({"order": "asc", "ids": "a,b"}, None)


def test_unselectable_rows_are_requested_as_usual() -> None:
    params, window = request(VENDOR, with_keys(selected=""), Span(DAY, selected=("a", "b")), NOW)
    assert params.keys() == {"order", "from", "to"}
    assert window is not None


@pytest.mark.parametrize("days", [2, 120])
def test_window_overlaps_the_last_pull_as_declared(days: int) -> None:
    params, _ = request(VENDOR, with_keys(overlap_days=days), Span(DAY, edited_since=NOW), NOW)
    assert datetime.fromisoformat(params["from"]) == NOW - timedelta(days=days)


def test_field_that_a_vendor_leaves_out_where_it_is_null_is_no_drift(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([{"id": 1}]))
    table = replace(NUMBERED, shape=Whole())
    with pytest.raises(SchemaDrift, match="fields=name"):
        puller.pull(table)
    assert puller.pull(replace(table, omits_nulls=True)).manifest.staged == 1


def test_missing_required_field_is_drift_whatever_a_vendor_omits(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([{"identifier": 1, "name": "x"}]))
    with pytest.raises(SchemaDrift, match=r"fields=id undeclared=identifier"):
        puller.pull(replace(NUMBERED, shape=Whole(), omits_nulls=True))


def test_rows_in_which_no_declared_field_is_and_others_are_is_drift_though_none_is_required(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([{"identifier": 1, "label": "x"}]))
    optional = tuple(replace(col, required=False) for col in NUMBERED.columns)
    with pytest.raises(SchemaDrift, match=r"fields=id,name undeclared=identifier,label"):
        puller.pull(replace(NUMBERED, shape=Whole(), columns=optional, omits_nulls=True))
