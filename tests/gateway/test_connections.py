"""Connections that never complete a request, over real sockets: their limits, and that good calls still succeed.

Each address of 127.0.0.0/8 acts as a caller of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from include.gateway.connections import Limits, build_protocol, limit_calls
from local.processes import find_free_port
from tests.conftest import Database
from tests.firm_keys import KEYRING, register_inbox_key
from tests.gateway.conftest import EVENT, KEY, sign

ROOT = Path(__file__).parents[2]
HEAD = b"POST /webhooks/docusign HTTP/1.1\r\nHost: here\r\n"
LONG = 64 * 1024


@pytest.fixture(scope="module")
def port(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a gateway in its own process, which trusts a proxy on 127.0.0.9."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    port = find_free_port()
    register_inbox_key(shared_database)
    settings = {
        "TRIBUTARY_GATEWAY_DATABASE": shared_database.url("tributary_gateway"),
        "TRIBUTARY_RECEIVING_KEY": KEYRING.receiving_key.text,
        "DOCUSIGN_CONNECT_SECRETS_FILE": str(keys),
        "FORWARDED_ALLOW_IPS": "127.0.0.9",
    }
    command = [sys.executable, "-m", "include.gateway", "--port", str(port)]
    process = psutil.Popen(command, cwd=ROOT, env=os.environ | settings)
    try:
        end = time.monotonic() + 30
        while not process.net_connections("tcp") and time.monotonic() < end:
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        assert process.wait(20) in (0, -15)


def connect(port: int, source: str = "127.0.0.2", sent: bytes = HEAD) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    opened.sendall(sent)
    return opened


def call(port: int, source: str = "127.0.0.3") -> tuple[int, float]:
    """Make a good call; return its status and duration in seconds."""
    started = time.monotonic()
    with httpx.Client(transport=httpx.HTTPTransport(local_address=source), timeout=20) as http:
        headers = {"X-DocuSign-Signature-1": sign(EVENT)}
        response = http.post(f"http://127.0.0.1:{port}/webhooks/docusign", content=EVENT, headers=headers)
    return response.status_code, time.monotonic() - started


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(65536, socket.MSG_PEEK)) and b" 503 " not in connection.recv(65536)
    except BlockingIOError:
        return True
    except OSError:
        return False


def read_all(connection: socket.socket) -> bytes:
    """Read until the connection ends."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def read_status(response: bytes) -> int:
    """Check that a raw response is one problem; return its status."""
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert head.count(b"HTTP/1.1") == 1
    parsed = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % parsed["status"])
    return int(parsed["status"])


# --- many ---


def test_hundreds_of_idle_connections_of_one_address_leave_every_other_address_served(port: int) -> None:
    with contextlib.ExitStack() as opened:
        idle = [opened.enter_context(connect(port)) for _ in range(680)]
        calls = [call(port) for _ in range(5)]
        assert [status for status, _ in calls] == [200] * 5
        assert statistics.median(took for _, took in calls) < 1
        assert sum(map(is_open, idle)) <= Limits().most_each
        assert call(port, "127.0.0.2")[0] == 200


def test_idle_connections_of_many_addresses_leave_a_good_call_served(port: int) -> None:
    with contextlib.ExitStack() as opened:
        for number in range(900):
            opened.enter_context(connect(port, f"127.0.1.{number // 10}"))
        assert [call(port)[0] for _ in range(3)] == [200] * 3


def test_trusted_proxy_may_open_more_than_one_caller(port: int) -> None:
    with contextlib.ExitStack() as opened:
        idle = [opened.enter_context(connect(port, "127.0.0.9")) for _ in range(150)]
        assert call(port, "127.0.0.9")[0] == 200
        assert all(map(is_open, idle))


# --- large ---


@pytest.mark.parametrize(
    "start",
    [
        HEAD + b"X-Long: ",
        b"POST /",
        HEAD + b"X-DocuSign-Signature-1: x\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        HEAD + b"X-DocuSign-Signature-1: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ",
    ],
    ids=["header", "path", "extension of a chunk", "trailer"],
)
def test_what_never_ends_is_cut_at_the_bound(port: int, start: bytes) -> None:
    sent = 0
    with connect(port, sent=start) as connection, contextlib.suppress(ConnectionError):
        while sent < 50_000_000:
            connection.sendall(b"x" * 65536)
            sent += 65536
            assert call(port)[0] == 200
    assert sent < 10_000_000  # what the kernel's buffers hold


def test_header_that_is_too_long_is_rejected(port: int) -> None:
    with connect(port, sent=HEAD + b"X-Long: " + b"x" * LONG) as connection:
        assert read_status(read_all(connection)) == 431


@pytest.mark.parametrize("value", [b"x" * LONG, b"x\r\nX-More: y" * 8000], ids=["one", "many"])
def test_headers_that_are_whole_and_too_large_are_refused(port: int, value: bytes) -> None:
    with connect(port, sent=HEAD + b"X-Long: " + value + b"\r\n\r\n") as connection:
        assert read_status(read_all(connection)) == 431


def test_large_body_is_no_header(port: int) -> None:
    body = b'{"a":"%s"}' % (b"x" * 1_000_000)
    headers = {"X-DocuSign-Signature-1": sign(body), "Transfer-Encoding": "chunked"}
    parts = (body[start : start + 1000] for start in range(0, len(body), 1000))
    response = httpx.post(f"http://127.0.0.1:{port}/webhooks/docusign", content=parts, headers=headers, timeout=20)
    assert response.status_code == 200


def test_invalid_http_gets_a_problem(port: int) -> None:
    with connect(port, sent=b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx") as connection:
        assert read_status(read_all(connection)) == 400


@pytest.mark.parametrize(
    "ambiguous",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Content-Length: +4\r\n\r\nabcd",
        b"Content-Length: 4, 5\r\n\r\nabcd",
    ],
)
def test_a_request_of_ambiguous_length_is_refused(port: int, ambiguous: bytes) -> None:
    smuggled = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"
    with connect(port, sent=HEAD + ambiguous + smuggled) as connection:
        answer = read_all(connection)
    assert read_status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1  # no answer to the second request


def test_trace_is_not_supported(port: int) -> None:
    for path in ("/health", "/webhooks/docusign", "/api/v1/runs"):
        response = httpx.request("TRACE", f"http://127.0.0.1:{port}{path}", headers={"X-Probe": "probe"})
        assert response.status_code in (404, 405)
        assert "probe" not in response.text


# --- slow ---


@contextlib.contextmanager
def serve(limits: Limits, app: Callable[..., object]) -> Iterator[int]:
    """Serve an app with these limits; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    http = build_protocol(limits, "127.0.0.9")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, http=http, ws="none"))  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond at once, without reading the body."""
    assert scope["type"] != "lifespan"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def pour(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with more than a connection buffers."""
    assert scope["type"] != "lifespan"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100000000")]})
    for _ in range(100):
        await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})


def drip(connection: socket.socket, part: bytes) -> float:
    """Send a part at intervals until the connection is closed; return how long that took."""
    started = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - started < 10:
            connection.sendall(part)
            time.sleep(0.05)
    return time.monotonic() - started


SHORT = Limits(header_s=0.5, call_s=1.0)


def test_headers_that_come_slowly_are_cut_after_their_time_with_the_reason() -> None:
    with serve(SHORT, answer) as port, connect(port) as connection:
        assert drip(connection, b"X: y\r\n") < 3
    with serve(SHORT, answer) as port, connect(port) as connection:
        assert read_status(read_all(connection)) == 408


def test_silent_connection_is_closed_after_its_timeout() -> None:
    with serve(SHORT, answer) as port, connect(port, sent=b"") as connection:
        assert read_all(connection) == b""


def test_second_call_s_headers_have_the_same_time() -> None:
    with serve(SHORT, answer) as port, connect(port, sent=HEAD + b"Content-Length: 0\r\n\r\n") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(HEAD)
        assert drip(connection, b"X: y\r\n") < 3


def test_body_that_continues_after_the_response_is_cut() -> None:
    with serve(SHORT, answer) as port, connect(port, sent=HEAD + b"Content-Length: 1000000\r\n\r\n") as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert drip(connection, b"x") < 3


def test_unread_response_is_dropped() -> None:
    with serve(SHORT, pour) as port, connect(port, sent=HEAD + b"Content-Length: 0\r\n\r\n") as connection:
        time.sleep(2)
        assert len(read_all(connection)) < 100_000_000


def test_call_beyond_those_at_once_is_refused_by_a_problem() -> None:
    begun = threading.Event()

    async def hold(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] != "lifespan"
        begun.set()
        await receive()
        await answer(scope, receive, send)

    async def start(scope: Scope, receive: Receive, send: Send) -> None:
        await limited(scope, receive, send)

    limited = limit_calls(hold, 1)
    with serve(Limits(), start) as port, connect(port, sent=HEAD + b"Content-Length: 1\r\n\r\n") as first:
        assert begun.wait(5)
        response = httpx.get(f"http://127.0.0.1:{port}/")
        assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
        assert int(response.headers["Retry-After"]) > 0
        first.sendall(b"x")
        assert first.recv(65536).startswith(b"HTTP/1.1 200")
        assert httpx.post(f"http://127.0.0.1:{port}/", content=b"x").status_code == 200


def test_new_connection_takes_the_place_of_one_that_waits() -> None:
    with serve(Limits(most_each=1), answer) as port, connect(port, sent=b"") as waiting:
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200  # of another address
        with connect(port, sent=b"GET / HTTP/1.1\r\nHost: here\r\n\r\n") as next_one:
            assert next_one.recv(65536).startswith(b"HTTP/1.1 200")
        assert read_all(waiting) == b""


def test_new_connection_is_refused_where_every_place_serves_a_call() -> None:
    with serve(Limits(most_each=1), pour) as port, connect(port, sent=HEAD + b"Content-Length: 0\r\n\r\n") as busy:
        assert busy.recv(12) == b"HTTP/1.1 200"
        with connect(port, sent=b"") as connection:
            assert read_status(read_all(connection)) == 503
        with connect(port, "127.0.0.9", HEAD + b"Content-Length: 0\r\n\r\n") as of_proxy:
            assert of_proxy.recv(12) == b"HTTP/1.1 200"
