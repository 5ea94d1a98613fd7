"""Paging by cursor and by link: loops are reported, and no other host gets our token."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import ConfigurationError, PagingUnstable, VendorUnavailable
from tests.extract.fan_out_firm import Serve
from tests.extract.paged_rows import CURSOR, LINKED, rows_of
from tests.extract.vendor_server import Answer, Reply

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
