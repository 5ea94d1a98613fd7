"""The sandbox's front end for all vendors. It counts calls and applies transport faults.

It must be the outermost ASGI application, because resetting a connection needs the server's own connection object.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.server.calls import ABORTED, Calls
from sandbox.server.faults import Fault, Faults

_ADMIN = "/_sandbox"
_HTML = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Back soon.</body></html>"
_SLAM = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing sends RST instead of FIN


class ByPort:
    """ASGI application that forwards requests by port: a port in `own` to its application, any other port to `app`."""

    def __init__(self, app: ASGIApp, own: Mapping[int, ASGIApp]) -> None:
        self.app, self.own = app, own

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward one call to the application of the port that received it."""
        app = self.own.get(scope["server"][1], self.app) if scope["type"] == "http" else self.app
        await app(scope, receive, send)


class Front:
    """ASGI application that wraps another one. It counts its calls and applies transport faults to them.

    Args:
        app: The wrapped application. It receives every call that no fault handles.
        faults: The active faults.
        calls: The call counts.
        root: Prefix of the paths in faults and call counts, for an application on its own port. Callers of that port use paths
            without it.
    """

    def __init__(self, app: ASGIApp, faults: Faults, calls: Calls, root: str = "") -> None:
        self.app, self.faults, self.calls, self.root = app, faults, calls, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, apply the active faults, and count the call."""
        if scope["type"] != "http" or scope["path"].startswith(_ADMIN):
            await self.app(scope, receive, send)
            return
        if self.root:
            path, raw = self.root + scope["path"], self.root.encode() + scope["raw_path"]
            scope = {**scope, "path": path, "raw_path": raw, "root_path": self.root}
        has_begun = False

        async def count_and_send(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                self.calls.count(scope["path"], message["status"])  # counted before it is sent
            await send(message)

        try:
            await self._answer(scope, receive, count_and_send)
        finally:
            if not has_begun:
                self.calls.count(scope["path"], ABORTED)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if fault := self.faults.take(path, "latency"):
            await asyncio.sleep(float(fault.options.get("seconds", 1)))
        if self.faults.take(path, "connection_reset"):
            _reset(receive)
        elif fault := self.faults.take(path, "too_many_requests"):
            await _refuse(send, 429, fault)
        elif fault := self.faults.take(path, "server_error"):
            await _refuse(send, int(fault.options.get("status", 503)), fault)
        elif self.faults.take(path, "html_page"):
            await _reply(send, 200, b"text/html; charset=utf-8", _HTML)
        elif fault := self.faults.take(path, "maintenance"):
            await _close_for_maintenance(send, fault)
        elif fault := self.faults.take(path, "bomb"):
            await _reply(send, 200, b"application/json", _bomb(fault), [(b"content-encoding", b"gzip")])
        elif fault := self.faults.take(path, "drip"):
            await self._drip(scope, receive, send, fault)
        elif self.faults.take(path, "body_cut"):
            await self._cut(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _cut(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Declare the full length of the body, send half of it, and reset the connection."""
        start, body = await self._whole(scope, receive)
        await send(start)
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await asyncio.sleep(0.05)  # send the half before the reset discards the buffer
        _reset(receive)

    async def _drip(self, scope: Scope, receive: Receive, send: Send, fault: Fault) -> None:
        """Send the body in pieces, with a pause after each, until the caller disconnects."""
        start, body = await self._whole(scope, receive)
        await send(start)
        size, pause = int(fault.options.get("bytes", 1)), float(fault.options.get("seconds", 1))
        message = asyncio.ensure_future(receive())
        for at in range(0, len(body), size):
            await send({"type": "http.response.body", "body": body[at : at + size], "more_body": True})
            await asyncio.wait({message}, timeout=pause)
            if message.done():
                if message.result()["type"] == "http.disconnect":
                    return
                # It was the request's body, which the app has not read: await the next message.
                message = asyncio.ensure_future(receive())
                await asyncio.sleep(pause)
        message.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _whole(self, scope: Scope, receive: Receive) -> tuple[Message, bytes]:
        """Run the app. Return the start message of its response, with a correct content-length header, and the full body."""
        start: Message = {}
        body = bytearray()

        async def hold(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
            else:
                body.extend(message.get("body", b""))

        await self.app(scope, receive, hold)
        headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        return {**start, "headers": headers}, bytes(body)


def _reset(receive: Receive) -> None:
    """Close the caller's connection with a TCP reset (RST)."""
    transport: Any = receive.__self__.transport  # type: ignore[attr-defined]  # uvicorn's request cycle
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _SLAM)
    transport.abort()


def _bomb(fault: Fault) -> bytes:
    """Return a gzip body that decompresses to an empty JSON array with a very large number of spaces in it."""
    packer, blanks = zlib.compressobj(wbits=31), b" " * 2**20
    parts = [packer.compress(b"[")]
    parts += [packer.compress(blanks) for _ in range(int(fault.options.get("bytes", 2**30)) // len(blanks) + 1)]
    return b"".join([*parts, packer.compress(b"]"), packer.flush()])


async def _close_for_maintenance(send: Send, fault: Fault) -> None:
    status, kind = int(fault.options.get("status", 302)), fault.options.get("body", "html")
    kinds = {"html": (b"text/html", _HTML), "json": (b"application/json", b'{"message": "No"}'), "empty": (b"", b"")}
    extra = [(b"location", b"/maintenance.html")] if 300 <= status < 400 else []
    await _reply(send, status, *kinds[kind], extra)


async def _refuse(send: Send, status: int, fault: Fault) -> None:
    wait = fault.options.get("retry_after")
    extra = [] if wait is None else [(b"retry-after", str(wait).encode())]
    await _reply(send, status, b"text/plain", b"", extra)


async def _reply(
    send: Send, status: int, kind: bytes, body: bytes, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-length", str(len(body)).encode()), *(extra or [])]
    headers += [(b"content-type", kind)] if kind else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
