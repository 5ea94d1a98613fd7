# ruff: noqa: SIM117
"""A response is bounded in time and size, whatever the vendor sends; so is a file in an archive, and a stream in time."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
import sqlalchemy as sa

from include.connection import Connection
from include.contract import INTEGER, Limits, SessionToken, Table, column
from include.errors import LimitExceeded, VendorUnavailable
from include.extract.bounded import BoundedAdapter, TooSlow
from include.extract.login import LoginContext, log_in
from include.extract.session import Request
from tests.extract.vendor_server import Reply, listen, open_session, vendor_of

TABLE = Table("things", "things", ("id",), (column("id", "id", INTEGER),))
QUICK = Limits(response_seconds=0.5)
BODY = b'[{"id": 1}]'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@contextmanager
def dripping(response: bytes, at_once: int, pause_s: float = 0.05) -> Iterator[str]:
    """A server that sends the first bytes of its response at once and the rest byte by byte."""
    listener, is_over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            with caller:
                caller.recv(65536)
                try:
                    caller.sendall(response[:at_once])
                    for at in range(at_once, len(response)):
                        if is_over.wait(pause_s):
                            break
                        caller.sendall(response[at : at + 1])
                except OSError:
                    pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        is_over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


LONG = b"[" + b" " * 2000 + b"]"
CHUNKED = b"".join(b"%x\r\n%s\r\n" % (1, LONG[at : at + 1]) for at in range(len(LONG))) + b"0\r\n\r\n"
SLOW = {
    "status line": (b"HTTP/1.1 200 " + b"O" * 2000 + b"\r\n\r\n", 5),
    "headers": (HEAD + b"X-Long: " + b"x" * 2000 + b"\r\n\r\n", len(HEAD)),
    "body of known length": (HEAD + b"Content-Length: %d\r\n\r\n" % len(LONG) + LONG, len(HEAD) + 30),
    "body that ends with the connection": (HEAD + b"Connection: close\r\n\r\n" + LONG, len(HEAD) + 30),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED, len(HEAD) + 40),
    "one chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(LONG) + LONG, len(HEAD) + 40),
}


@pytest.mark.parametrize("part", SLOW)
def test_response_of_which_a_part_comes_byte_by_byte_ends_at_the_deadline(engine: sa.Engine, part: str) -> None:
    with dripping(*SLOW[part]) as url, open_session(engine, vendor_of(TABLE, limits=QUICK), url) as session:
        started = time.monotonic()
        with pytest.raises(VendorUnavailable, match=r"longer than 0.5 s.*vendor=testbank path=things"):
            session.get("things", {}, bytes)
        assert time.monotonic() - started < 4


def test_response_that_comes_fast_enough_may_take_longer_than_the_deadline(engine: sa.Engine) -> None:
    limits = Limits(response_seconds=0.6, bytes_per_second=0.5)
    response = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with dripping(response, len(response) - 6, 0.2) as url, requests.Session() as http:
        http.mount("http://", BoundedAdapter(Limits(response_seconds=0.6)))
        with pytest.raises(TooSlow):
            http.get(url)
        http.mount("http://", BoundedAdapter(limits))
        [streamed] = [http.get(url, stream=True)]
        adapter = http.get_adapter(url)
        assert isinstance(adapter, BoundedAdapter)
        assert b"".join(adapter.stream(streamed, 1)) == BODY


def test_stream_that_stalls_ends_at_the_deadline_and_the_work_between_its_pieces_does_not_count() -> None:
    response = HEAD + b"Content-Length: %d\r\n\r\n" % len(LONG) + LONG
    with dripping(response, len(response) - 1000) as url, requests.Session() as http:
        adapter = BoundedAdapter(QUICK)
        http.mount("http://", adapter)
        with http.get(url, stream=True) as streamed:
            pieces = adapter.stream(streamed, 256)
            next(pieces)
            time.sleep(0.7)  # what the caller does with a piece
            next(pieces)
            with pytest.raises(TooSlow):
                list(pieces)


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_body_larger_than_allowed_is_an_error_that_is_not_retried(engine: sa.Engine, encoding: str) -> None:
    limits = Limits(received_bytes=10_000, expanded_bytes=10_000)
    content = gzip.compress(b" " * 20_000) if encoding == "gzip" else b" " * 20_000
    vendor = vendor_of(TABLE, limits=limits)
    with listen(lambda call: Reply(content=content, headers={"Content-Encoding": encoding})) as listener:
        with open_session(engine, vendor, listener.url, 5) as session, pytest.raises(LimitExceeded) as raised:
            session.get("things", {}, bytes)
    assert "larger than 10,000 bytes" in str(raised.value)
    assert raised.value.facts["vendor"] == "testbank"
    assert len(listener.calls) == 1


def test_body_within_the_bounds_is_read_whole(engine: sa.Engine) -> None:
    content = b" " * 9_999
    vendor = vendor_of(TABLE, limits=Limits(received_bytes=10_000, expanded_bytes=10_000))
    with listen(lambda call: Reply(content=gzip.compress(content), headers={"Content-Encoding": "gzip"})) as listener:
        with open_session(engine, vendor, listener.url) as session:
            assert session.get("things", {}, bytes) == content


def test_bomb_is_not_expanded_beyond_the_bound(engine: sa.Engine) -> None:
    bomb = gzip.compress(b" " * 2**27)  # 128 MiB in 130 KB
    vendor = vendor_of(TABLE, limits=Limits(expanded_bytes=2**20))
    with listen(lambda call: Reply(content=bomb, headers={"Content-Encoding": "gzip"})) as listener:
        with open_session(engine, vendor, listener.url) as session:
            tracemalloc.start()
            try:
                with pytest.raises(LimitExceeded, match="1,048,576 bytes after decompression"):
                    session.get("things", {}, bytes)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert peak < 8 * 2**20


def test_token_endpoint_is_bounded_like_any_other() -> None:
    response = HEAD + b"Content-Length: %d\r\n\r\n" % len(LONG) + LONG
    extra = {"client_id": "id", "client_secret": "secret"}
    with dripping(response, len(HEAD) + 30) as url, requests.Session() as http:
        http.mount("http://", BoundedAdapter(QUICK))
        with pytest.raises(VendorUnavailable, match=r"No response to the login: .*longer than 0.5 s"):
            log_in(
                SessionToken("token", "Bearer"), LoginContext(http, Connection(url, "user", "password", extra), (5, 5))
            )


def test_no_thread_outlives_a_response(engine: sa.Engine) -> None:
    with listen(lambda call: Reply([])) as listener, open_session(engine, vendor_of(TABLE), listener.url) as session:
        for _ in range(20):
            session.get("things", {}, bytes)
        time.sleep(0.1)
        assert [thread.name for thread in threading.enumerate() if thread.name == "response-deadline"] == []


CSV = b"Account ID,Market Value\n" + b"".join(b"A-%d,%d.25\n" % (n, n * 1234567) for n in range(2000))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_body_that_is_cut_short_is_an_outage(engine: sa.Engine, encoding: str) -> None:
    whole = gzip.compress(CSV) if encoding == "gzip" else zlib.compress(CSV)
    sent = [whole[:-400], whole]
    with listen(lambda call: Reply(kind="text/csv", content=sent[0], headers={"Content-Encoding": encoding})) as vendor:
        with open_session(engine, vendor_of(TABLE), vendor.url) as session:
            request = Request("file", is_file=True)
            with pytest.raises(VendorUnavailable, match="No complete response"):
                session.request(request, bytes)
            del sent[0]
            assert session.request(request, bytes) == CSV


def test_compressed_stream_that_is_cut_short_is_an_error() -> None:
    cut = gzip.compress(CSV)[:-400]
    adapter, caller = BoundedAdapter(QUICK), requests.Session()
    caller.mount("http://", adapter)
    with listen(lambda call: Reply(content=cut, headers={"Content-Encoding": "gzip"})) as vendor:
        response = caller.get(vendor.url, stream=True)
        with pytest.raises(requests.RequestException, match="cut short"):
            list(adapter.stream(response, 1000))


def test_bytes_after_a_compressed_body_are_ignored(engine: sa.Engine) -> None:
    content = gzip.compress(BODY[:5]) + gzip.compress(BODY[5:]) + b"\0\0\0\0"
    with listen(lambda call: Reply(content=content, headers={"Content-Encoding": "gzip"})) as vendor:
        with open_session(engine, vendor_of(TABLE), vendor.url) as session:
            assert session.get("things", {}, bytes) == BODY
